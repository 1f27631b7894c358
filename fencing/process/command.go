package process

import (
	"errors"
	"slices"
	"strconv"
	"strings"
)

// NewProgram names the processes that run a program of that base name and have that word in their command line (of its first 4 KiB), and
// their descendants. Both must be the caller's alone: a path that nobody else gives to that program. It is for programs that divide
// themselves: what bound the first process to its parent does not bind the other one.
func NewProgram(called, word string) *Tree { return &Tree{called: called, word: word} }

// programs finds them.
func (t *Tree) programs(all map[int]proc) (found []int, err error) {
	for pid, p := range all {
		if p.ended() || p.comm != t.called[:min(len(t.called), 15)] { // the kernel keeps that much of a name
			continue
		}
		line, wrong := readSmall("/proc/" + strconv.Itoa(pid) + "/cmdline")
		switch {
		case gone(wrong):
		case wrong != nil:
			err = errors.Join(err, wrong)
		case slices.Contains(strings.Split(string(line), "\x00"), t.word):
			found = append(found, pid)
		}
	}
	return found, err
}
