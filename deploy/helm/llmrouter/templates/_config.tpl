{{- /* The configuration as the values give it, without what the chart decides; as YAML. */ -}}
{{- define "llmrouter.ownConfig" -}}
{{- if .Values.config }}{{ toYaml .Values.config }}{{ else }}{{ .Files.Get "files/router.yaml" }}{{ end }}
{{- end }}

{{- /* What the chart decides: it must agree with ports, probes, volumes and environment; as YAML. */ -}}
{{- define "llmrouter.managedConfig" -}}
server:
  address: {{ printf "0.0.0.0:%d" (int .Values.grpc.port) | quote }}
  lame_duck: {{ int .Values.drain.lameDuckSeconds }}s
  grace: {{ int .Values.drain.graceSeconds }}s
  max_connection_age: {{ int .Values.grpc.maxConnectionAgeSeconds }}s
  {{- if .Values.tls.enabled }}
  tls:
    cert_file: /etc/llmrouter-tls/tls.crt
    key_file: /etc/llmrouter-tls/tls.key
    {{- if .Values.tls.clientCa }}
    client_ca_file: /etc/llmrouter-tls/ca.crt
    {{- end }}
  {{- end }}
  {{- if .Values.http.enabled }}
  http:
    address: {{ printf "0.0.0.0:%d" (int .Values.http.port) | quote }}
    admin_address: {{ printf "0.0.0.0:%d" (int .Values.http.adminPort) | quote }}
  {{- end }}
ledger:
  folder: /var/lib/llmrouter
{{- if .Values.redis.enabled }}
redis:
  url: "${REDIS_URL}"
  replicas: {{ include "llmrouter.replicas" . }}
{{- end }}
{{- if .Values.postgresql.enabled }}
storage:
  url: "${DATABASE_URL}"
{{- end }}
{{- with .Values.telemetry.otlpEndpoint }}
telemetry:
  otlp_endpoint: {{ . | quote }}
{{- end }}
{{- end }}

{{- define "llmrouter.config" -}}
{{- mergeOverwrite (include "llmrouter.ownConfig" . | fromYaml) (include "llmrouter.managedConfig" . | fromYaml) | toYaml }}
{{- end }}

{{- /* What a change of must restart the pods: a router takes over everything else while it runs. */ -}}
{{- define "llmrouter.restartingConfig" -}}
{{- $config := include "llmrouter.config" . | fromYaml }}
{{- if eq .Values.restartOn "any" }}
{{- toYaml $config }}
{{- else }}
{{- pick $config "server" "telemetry" "decision_tokens" "storage" "ledger" "redis" | toYaml }}
{{- end }}
{{- end }}
