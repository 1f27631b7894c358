package platform

import (
	"strings"
	"time"
)

// FenceDevice can cut the power of a host: a ClusterLabs fence agent, or a program of the operator's. Exactly one of Agent
// and Exec is set. Secrets stay in files on the controllers; only their paths are replicated.
type FenceDevice struct {
	Agent      string            `json:"agent,omitempty"` // fence_ipmilan, ...
	Exec       string            `json:"exec,omitempty"`  // absolute path; called with off, on or status
	Parameters map[string]string `json:"parameters,omitempty"`
	Secrets    map[string]string `json:"secrets,omitempty"` // parameter to the absolute path of the file with its value
	Timeout    time.Duration     `json:"timeout"`           // for one action and its status queries; 1 s to 5 min, default 30 s
	Level      int               `json:"level"`             // 1 (default) to 9; one level suffices, with all its devices
}

// Bounds of a fence device.
const (
	DefaultFenceTimeout = 30 * time.Second
	MinFenceTimeout     = time.Second
	MaxFenceTimeout     = 5 * time.Minute
	MaxFenceLevel       = 9
)

// FenceReserved says why an operator cannot set a parameter; "" if they can. Fence agents accept - and _ alike.
func FenceReserved(parameter string) string {
	switch strings.ReplaceAll(parameter, "-", "_") {
	case "action", "option":
		return "Mainstay chooses the action"
	case "nodename":
		return "Mainstay sets the host's name"
	case "help", "version", "quiet":
		return "it would hide the device's answer"
	case "verbose", "verbose_level", "debug", "debug_file", "logfile":
		return "it would write secrets into a log"
	case "ssh_options":
		return "it could make the controllers run any program"
	}
	return ""
}
