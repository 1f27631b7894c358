package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"mainstay/controller/platform"
)

func (r *reader) fenceDevice(n *yaml.Node, at where, d *platform.FenceDevice) {
	d.Timeout, d.Level = platform.DefaultFenceTimeout, 1
	r.section(
		field{"agent", r.text(&d.Agent)},
		field{"exec", r.text(&d.Exec)},
		field{"parameters", named(r, &d.Parameters, r.asText)},
		field{"secrets", named(r, &d.Secrets, r.textInto)},
		field{"timeout", r.duration(&d.Timeout)},
		field{"level", r.integer(&d.Level)},
	)(n, at)
}

// watchdog reads a mode; off is stored as "", so that it equals a host without the key.
func (r *reader) watchdog(dst *platform.WatchdogMode) reading {
	return func(n *yaml.Node, at where) {
		word(r, dst)(n, at)
		if *dst == "off" {
			*dst = platform.WatchdogOff
		}
	}
}

func watchdogWord(mode platform.WatchdogMode) string {
	if mode == platform.WatchdogOff {
		return "off"
	}
	return scalar(mode)
}

// fenceForm writes a host's devices in one line: [{agent: fence_ipmilan, ...}].
func fenceForm(devices []platform.FenceDevice) string {
	parts := make([]string, len(devices))
	for i, d := range devices {
		parts[i] = flow([]setting{
			{"agent", textForm(d.Agent), d.Agent == ""},
			{"exec", textForm(d.Exec), d.Exec == ""},
			{"parameters", mapForm(d.Parameters), len(d.Parameters) == 0},
			{"secrets", mapForm(d.Secrets), len(d.Secrets) == 0},
			{"timeout", span(d.Timeout), d.Timeout == platform.DefaultFenceTimeout},
			{"level", strconv.Itoa(d.Level), d.Level == 1},
		}, "")
	}
	return "[" + strings.Join(parts, ", ") + "]"
}

func mapForm(m map[string]string) string {
	parts := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, textForm(k)+": "+textForm(m[k]))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// textForm writes parameters, agents and paths plain, where scalar would quote their _ and /.
func textForm(s string) string {
	if fenceKey.MatchString(s) && !slices.Contains(plainNot, s) || isPath(s) && plainPath.MatchString(s) {
		return s
	}
	return scalar(s)
}
