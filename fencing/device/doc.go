// Package device switches the power of hosts: by any ClusterLabs fence agent, or by a program of the operator's.
//
// It must never call a host fenced that may have power: a device that hangs, contradicts itself or answers something else
// than was asked is Unproven, with the reason. It must never put a secret on a command line, into an error or a log,
// never leave a process behind, and never take longer than the device's own timeout.
//
// Flow enters as platform.Host, the devices of the platform file (Agents.Ladder), whose mistakes Agents.Check finds
// beforehand, where the agents are installed. It leaves as fencing.PowerResult: Ladder.Off is the proof powered-off,
// Ladder.On undoes it, Ladder.Status only looks.
package device
