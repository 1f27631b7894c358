package agent

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"mainstay/health"
)

// pressureEvery is how often the host's pressure is read: its averages cover one minute.
const pressureEvery = 2 * time.Second

// pressure is that of the host, as it was last read; nil before.
type pressure struct {
	atomic.Pointer[health.Pressure]
}

// watch keeps it up to date, outside the lease path (L6).
func (h *pressure) watch(ctx context.Context, log *zap.Logger) error {
	tick := time.NewTicker(pressureEvery)
	defer tick.Stop()
	for {
		p, err := readPressure(os.ReadFile)
		if err != nil {
			log.Warn("the load of this host cannot be read from /proc/pressure", zap.Error(err))
			return nil
		}
		h.Store(&p)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// readPressure reads the kernel's averages. Older kernels, and some containers, measure no waits.
func readPressure(read func(string) ([]byte, error)) (p health.Pressure, err error) {
	text, err := read("/proc/loadavg")
	if err != nil {
		return p, err
	}
	var load float64
	if _, err := fmt.Sscan(string(text), &load); err != nil {
		return p, fmt.Errorf("/proc/loadavg: %w", err)
	}
	p.Load = int(load * 100 / float64(runtime.NumCPU()))
	cpu, cpuErr := read("/proc/pressure/cpu")
	io, ioErr := read("/proc/pressure/io")
	if cpuErr != nil || ioErr != nil {
		return p, nil
	}
	var known bool
	if p.CPU, known = waited(string(cpu), "some"); !known {
		return p, nil
	}
	p.IO, p.Waits = waited(string(io), "full")
	return p, nil
}

// waited is the average over one minute from a line of PSI: some avg10=0.00 avg60=1.25 avg300=0.80 total=123456
func waited(text, line string) (percent int, known bool) {
	for l := range strings.Lines(text) {
		fields := strings.Fields(l)
		if len(fields) < 3 || fields[0] != line {
			continue
		}
		var average float64
		if _, err := fmt.Sscanf(fields[2], "avg60=%g", &average); err != nil {
			return 0, false
		}
		return int(average), true
	}
	return 0, false
}
