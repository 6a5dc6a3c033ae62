{{- /* Values that cannot work together, told before anything is installed. values.schema.json tells the rest. */ -}}
{{- define "llmrouter.checks" -}}
{{- $values := .Values }}
{{- if and $values.config $values.existingConfigMap }}
{{- fail "config and existingConfigMap are both given: keep one of them" }}
{{- end }}
{{- $managed := dict
  "server.address" "grpc.port" "server.lame_duck" "drain.lameDuckSeconds" "server.grace" "drain.graceSeconds"
  "server.max_connection_age" "grpc.maxConnectionAgeSeconds" "server.tls" "tls" "ledger.folder" "persistence"
  "redis.url" "redis.secret" "redis.replicas" "replicas" "storage.url" "postgresql.secret"
  "telemetry.otlp_endpoint" "telemetry.otlpEndpoint" "server.http.address" "http.port"
  "server.http.admin_address" "http.adminPort" "server.http.tls" "tls" }}
{{- range $key, $value := $managed }}
{{- $section := $values.config }}
{{- range initial (splitList "." $key) }}{{ $section = default dict (get $section .) }}{{ end }}
{{- if hasKey $section (splitList "." $key | last) }}
{{- fail (printf "config.%s is decided by the chart: set the value %s instead" $key $value) }}
{{- end }}
{{- end }}
{{- if and (hasKey (default dict $values.config.server) "http") (not $values.http.enabled) }}
{{- fail "config.server.http needs http.enabled: the chart opens its ports" }}
{{- end }}
{{- include "llmrouter.noPlainSecrets" (dict "value" $values.config "path" "config") }}
{{- range $name, $value := $values.env }}
{{- if regexMatch "(?i)(key|secret|token|passw|pepper|credential)" $name }}
{{- fail (printf "env.%s sounds of a secret: put it in the Secret that the value secret names, or name it in secretEnv" $name) }}
{{- end }}
{{- end }}
{{- if and $values.config (not $values.config.identity) }}
{{- fail "config.identity is missing: beyond loopback a router serves only callers that it can identify (docs/authentication.md)" }}
{{- end }}
{{- range tuple "redis" "postgresql" "tls" }}
{{- $section := get $values . }}
{{- if and $section.enabled (not $section.secret) }}
{{- fail (printf "%s.enabled needs %s.secret: the name of an existing Secret" . .) }}
{{- end }}
{{- end }}
{{- if and $values.tls.enabled (not $values.http.enabled) }}
{{- fail "tls.enabled needs http.enabled: Kubernetes' gRPC probes speak no TLS, so they ask http.adminPort instead" }}
{{- end }}
{{- if and $values.serviceMonitor.enabled (not $values.http.enabled) }}
{{- fail "serviceMonitor.enabled needs http.enabled: /metrics is at http.adminPort" }}
{{- end }}
{{- if and $values.prometheusRule.enabled (not $values.prometheusRule.rules) }}
{{- fail "prometheusRule.enabled needs rules: --set-file prometheusRule.rules=deploy/prometheus/alerts.yaml" }}
{{- end }}
{{- if and $values.autoscaling.enabled (gt (int $values.autoscaling.minReplicas) (int $values.autoscaling.maxReplicas)) }}
{{- fail "autoscaling.minReplicas is more than autoscaling.maxReplicas" }}
{{- end }}
{{- if and $values.networkPolicy.enabled (not $values.networkPolicy.egress) (or $values.redis.enabled $values.postgresql.enabled $values.telemetry.otlpEndpoint) }}
{{- fail "networkPolicy.egress is empty, so Redis, PostgreSQL and the OTLP receiver could not be reached: add a rule for each" }}
{{- end }}
{{- $ports := list (int $values.grpc.port) }}
{{- if $values.http.enabled }}{{ $ports = concat $ports (list (int $values.http.port) (int $values.http.adminPort)) }}{{ end }}
{{- if ne (len $ports) (len (uniq $ports)) }}
{{- fail "grpc.port, http.port and http.adminPort must differ" }}
{{- end }}
{{- end }}

{{- /* Refuses a key, pepper or password that stands in the configuration itself: it would be in a ConfigMap. */ -}}
{{- define "llmrouter.noPlainSecrets" -}}
{{- $path := .path }}
{{- if kindIs "map" .value }}
{{- range $key, $value := .value }}
{{- $below := printf "%s.%s" $path $key }}
{{- if regexMatch "^(api_keys?|key|pepper|previous_peppers|password|authorization|url|base_url|proxy)$" (lower $key) }}
{{- range (kindIs "slice" $value | ternary $value (list $value)) }}
{{- if kindIs "string" . }}
{{- $holds := regexMatch "(?i)(url|proxy)$" $key | ternary (regexMatch "://[^/@]*:[^/@]+@" .) (ne . "") }}
{{- if and $holds (not (contains "${" .)) }}
{{- fail (printf "%s holds a secret in plain, which a ConfigMap would show: put it in the Secret and write \"${NAME}\"" $below) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- include "llmrouter.noPlainSecrets" (dict "value" $value "path" $below) }}
{{- end }}
{{- else if kindIs "slice" .value }}
{{- range $place, $value := .value }}
{{- include "llmrouter.noPlainSecrets" (dict "value" $value "path" (printf "%s[%d]" $path $place)) }}
{{- end }}
{{- end }}
{{- end }}
