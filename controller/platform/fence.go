package platform

import (
	"strings"
	"time"
)

// FenceDevice can cut the power of a host: a ClusterLabs fence agent, or a program of the operator's. Exactly one of Agent
// and Exec is set. It holds no secret: those stay in files on the controllers, and only their paths are replicated.
type FenceDevice struct {
	Agent      string            `json:"agent,omitempty"` // fence_ipmilan, ...
	Exec       string            `json:"exec,omitempty"`  // absolute path; called with off, on or status
	Parameters map[string]string `json:"parameters,omitempty"`
	Secrets    map[string]string `json:"secrets,omitempty"` // parameter to the absolute path of the file with its value
	Timeout    time.Duration     `json:"timeout"`           // for one action with all its questions; 1 s to 5 min, default 30 s
	Level      int               `json:"level"`             // 1 (default) to 9; all devices of a level are needed, any level will do
}

// Bounds of a fence device.
const (
	DefaultFenceTimeout = 30 * time.Second
	MinFenceTimeout     = time.Second
	MaxFenceTimeout     = 5 * time.Minute
	MaxFenceLevel       = 9
)

// FenceReserved says why a parameter cannot be the operator's; "" for one that can. Agents take it as - or _.
func FenceReserved(parameter string) string {
	switch strings.ReplaceAll(parameter, "-", "_") {
	case "action", "option":
		return "Mainstay says what is to be done"
	case "nodename":
		return "Mainstay gives the host's name"
	case "help", "version", "quiet":
		return "it would hide what the device answers"
	case "verbose", "verbose_level", "debug", "debug_file", "logfile":
		return "it would write secrets into a log"
	case "ssh_options":
		return "it can have the controllers run any program"
	}
	return ""
}
