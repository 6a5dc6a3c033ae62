package llmrouter

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

const (
	apiKeyVariable = "LLMROUTER_API_KEY"
	defaultTimeout = time.Minute
	mebibyte       = 1 << 20
)

// Option of a client.
type Option func(*settings)

type settings struct {
	apiKey       string
	tls          *tls.Config
	plaintextKey bool
	timeout      time.Duration
	traceContext func(context.Context) map[string]string
	dial         []grpc.DialOption
}

// WithAPIKey sets the key to call with, instead of LLMROUTER_API_KEY of the environment; "" for none.
func WithAPIKey(key string) Option { return func(s *settings) { s.apiKey = key } }

// WithTLS encrypts; nil means the system's certificate authorities. Without it the connection is plaintext.
func WithTLS(config *tls.Config) Option {
	return func(s *settings) {
		if s.tls = config; config == nil {
			s.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	}
}

// WithPlaintextKey lets the API key travel unencrypted beyond this machine, where a proxy or mesh encrypts.
func WithPlaintextKey() Option { return func(s *settings) { s.plaintextKey = true } }

// WithTimeout bounds calls whose context has no deadline; a minute by default.
func WithTimeout(timeout time.Duration) Option { return func(s *settings) { s.timeout = timeout } }

// WithTraceContext names the W3C trace headers of a context, such as traceparent. With OpenTelemetry:
//
//	llmrouter.WithTraceContext(func(ctx context.Context) map[string]string {
//		carrier := propagation.MapCarrier{}
//		otel.GetTextMapPropagator().Inject(ctx, carrier)
//		return carrier
//	})
func WithTraceContext(headers func(context.Context) map[string]string) Option {
	return func(s *settings) { s.traceContext = headers }
}

// WithDialOptions adds gRPC's own options, after those of this package.
func WithDialOptions(options ...grpc.DialOption) Option {
	return func(s *settings) { s.dial = append(s.dial, options...) }
}

func settingsOf(target string, options []Option) (*settings, error) {
	s := &settings{apiKey: os.Getenv(apiKeyVariable), timeout: defaultTimeout}
	for _, option := range options {
		option(s)
	}
	if s.timeout <= 0 {
		return nil, fmt.Errorf("llmrouter: a timeout is more than 0, not %s", s.timeout)
	}
	if err := metadataText("an API key", s.apiKey); err != nil {
		return nil, err
	}
	if s.apiKey != "" && s.tls == nil && !s.plaintextKey && !isLocal(target) {
		return nil, fmt.Errorf("llmrouter: the API key would travel unencrypted to %s: speak TLS (WithTLS), or allow it "+
			"with WithPlaintextKey where a proxy or mesh here encrypts", target)
	}
	return s, nil
}

func (s *settings) dialOptions() []grpc.DialOption {
	transport := insecure.NewCredentials()
	if s.tls != nil {
		transport = credentials.NewTLS(s.tls)
	}
	return append([]grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithDefaultServiceConfig(serviceConfig),
		grpc.WithUserAgent("llmrouter-go/" + Version),
		grpc.WithChainUnaryInterceptor(s.unary),
		grpc.WithChainStreamInterceptor(s.stream),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(4*mebibyte), grpc.MaxCallRecvMsgSize(16*mebibyte)),
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: 2 * time.Second},
			MinConnectTimeout: 5 * time.Second,
		}),
		// Servers end a connection that pings more than twice within five silent minutes.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 2 * time.Minute, Timeout: 20 * time.Second}),
	}, s.dial...)
}

// isLocal says whether a target is on this machine for certain.
func isLocal(target string) bool {
	if strings.HasPrefix(target, "unix:") || strings.HasPrefix(target, "unix-abstract:") {
		return true
	}
	_, address, hasScheme := strings.Cut(target, "://")
	if !hasScheme {
		address = strings.TrimPrefix(strings.TrimPrefix(target, "dns:"), "passthrough:")
	} else if scheme := target[:strings.Index(target, ":")]; scheme != "dns" && scheme != "passthrough" {
		return false
	}
	host, _, err := net.SplitHostPort(address[strings.LastIndex(address, "/")+1:])
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}
