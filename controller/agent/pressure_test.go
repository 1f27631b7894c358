package agent

import (
	"os"
	"runtime"
	"testing"

	"mainstay/health"
)

func TestPressure(t *testing.T) {
	const cpu = "some avg10=87.63 avg60=73.21 avg300=43.52 total=398208603\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
	const io = "some avg10=50.00 avg60=40.90 avg300=3.00 total=7\nfull avg10=9.00 avg60=12.99 avg300=1.00 total=5\n"
	const average = "6.50 4.00 2.00 3/400 123\n"
	load := int(100 * 6.5 / float64(runtime.NumCPU()))
	for name, c := range map[string]struct {
		files map[string]string
		want  health.Pressure
		fails bool
	}{
		"all": {map[string]string{"/proc/loadavg": average, "/proc/pressure/cpu": cpu, "/proc/pressure/io": io},
			health.Pressure{Waits: true, CPU: 73, IO: 12, Load: load}, false},
		"no PSI": {map[string]string{"/proc/loadavg": average}, health.Pressure{Load: load}, false},
		"PSI without full": {map[string]string{"/proc/loadavg": average, "/proc/pressure/cpu": cpu,
			"/proc/pressure/io": "some avg10=1.00 avg60=1.00"},
			health.Pressure{CPU: 73, Load: load}, false},
		"nonsense": {map[string]string{"/proc/loadavg": "much"}, health.Pressure{}, true},
		"no /proc": {nil, health.Pressure{}, true},
	} {
		got, err := readPressure(func(path string) ([]byte, error) {
			if text, ok := c.files[path]; ok {
				return []byte(text), nil
			}
			return nil, os.ErrNotExist
		})
		if got != c.want || (err != nil) != c.fails {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, c.want)
		}
	}
	if p, err := readPressure(os.ReadFile); err != nil || p.CPU < 0 || p.CPU > 100 || p.IO < 0 || p.IO > 100 {
		t.Errorf("of this host: %+v, %v", p, err)
	}
}
