// Package metric writes the metrics of one scrape: what the metrics of controllers and agents have in common. Names and meanings are the
// callers'.
package metric

import "github.com/prometheus/client_golang/prometheus"

// Emitter sends the metrics of a scrape, to the channel that Collect gets.
type Emitter chan<- prometheus.Metric

// Gauge sends a value.
func (e Emitter) Gauge(d *prometheus.Desc, v float64, labels ...string) {
	e <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

// Flag sends a condition: 1 if it holds, else 0.
func (e Emitter) Flag(d *prometheus.Desc, holds bool, labels ...string) {
	v := 0.0
	if holds {
		v = 1
	}
	e.Gauge(d, v, labels...)
}

// Counter sends a count since the start of the process.
func (e Emitter) Counter(d *prometheus.Desc, v uint64, labels ...string) {
	e <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
}
