// Package controller is one controller process: its parts, wired in a straight line, and taken down in reverse.
//
//	identity -> listener -> log (raft) -> loop -> publish -> HTTP
//
// It holds the code that joins its parts: the machine that applies the log's commands to the state (machine.go), and the changes
// of the controllers' own list (init.go, list.go). It must never decide anything about the platform, and never run after its log
// or its loop has stopped: the process then exits with the reason, and the others elect a leader (L6).
//
// Flow enters by Run, from cmd/mainstay, and through the one TLS listener; it leaves through the log, the answers to
// agents and operators, and what publish writes.
package controller
