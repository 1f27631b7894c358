package consensus

import (
	"fmt"
	"io"
	"sync/atomic"

	"github.com/hashicorp/go-hclog"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// zapSink passes raft's log lines on to zap.
type zapSink struct {
	to *zap.Logger
	// quiet turns every line into a debug line: raft logs its own shutdown as an error on each connection.
	quiet *atomic.Bool
}

// raftLogger is an hclog.Logger that writes only to zap, without raft's debug lines (one for each connection).
func raftLogger(to *zap.Logger, quiet *atomic.Bool) hclog.Logger {
	l := hclog.NewInterceptLogger(&hclog.LoggerOptions{Output: io.Discard, Level: hclog.Info})
	l.RegisterSink(zapSink{to.Named("raft").WithOptions(zap.WithCaller(false)), quiet})
	return l
}

// Accept implements hclog.SinkAdapter.
func (z zapSink) Accept(name string, level hclog.Level, msg string, args ...any) {
	if level < hclog.Info { // a sink gets every level
		return
	}
	to := zapLevel(level)
	if z.quiet.Load() {
		to = zap.DebugLevel
	}
	if ce := z.to.Check(to, msg); ce != nil {
		ce.Write(zapFields(args)...)
	}
}

func zapLevel(l hclog.Level) zapcore.Level {
	switch l {
	case hclog.Warn:
		return zap.WarnLevel
	case hclog.Error:
		return zap.ErrorLevel
	}
	return zap.InfoLevel
}

func zapFields(args []any) []zap.Field {
	fields := make([]zap.Field, 0, len(args)/2)
	for i := 0; i+1 < len(args); i += 2 {
		key := fmt.Sprint(args[i])
		if f, ok := args[i+1].(hclog.Format); ok && len(f) > 0 {
			fields = append(fields, zap.String(key, fmt.Sprintf(fmt.Sprint(f[0]), f[1:]...)))
			continue
		}
		fields = append(fields, zap.Any(key, args[i+1]))
	}
	return fields
}
