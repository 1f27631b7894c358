// Package device switches the power of hosts: by any ClusterLabs fence agent, or by a program of the operator's.
//
// It must never call a host fenced that may have power: a device that hangs, contradicts itself or gives another answer is
// Unproven, with the reason. It must never put a secret on a command line, into an error or a log, leave a process behind, or take
// longer than the device's own timeout.
//
// Flow enters as platform.Host, with the devices of the platform file (Agents.Ladder); Agents.Check finds their mistakes beforehand,
// on a host with the agents installed. It leaves as fencing.PowerResult: Ladder.Off is the proof powered-off, Ladder.On undoes it,
// Ladder.Status changes nothing.
package device
