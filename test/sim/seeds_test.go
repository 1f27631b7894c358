package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// kept is a line of testdata/seeds: a seed that once failed, and what it found.
type kept struct {
	seed  uint64
	found string
}

func keptSeeds(t *testing.T) []kept {
	t.Helper()
	b, err := os.ReadFile("testdata/seeds")
	if err != nil {
		t.Fatal(err)
	}
	var all []kept
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		number, found, _ := strings.Cut(line, " ")
		seed, err := strconv.ParseUint(number, 10, 64)
		if err != nil || found == "" {
			t.Fatalf("testdata/seeds: %q: want a seed and what it found", line)
		}
		all = append(all, kept{seed, found})
	}
	return all
}

func workers() int { return runtime.GOMAXPROCS(0) }
