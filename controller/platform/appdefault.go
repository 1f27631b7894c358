package platform

import (
	"strings"
	"time"
)

// What an app that does not say gets.
const (
	DefaultMinimum      = 1
	DefaultCheckEvery   = time.Second
	DefaultCheckTimeout = time.Second
	DefaultRise         = 2
	DefaultFall         = 3
	DefaultWitnessAfter = 5 * time.Second
)

// FillDefaults gives every app what it does not say. It is for platforms that an earlier version wrote, whose apps lack what
// has come since: whoever takes one over (from the log, a snapshot or a request) calls it, so that nobody else meets a check
// of no time or a pool of nobody.
func (p *Platform) FillDefaults() {
	for i := range p.Apps {
		p.Apps[i].FillDefaults()
	}
}

// FillDefaults gives the app what it does not say. No zero that it replaces is a value that an operator could have meant.
func (a *App) FillDefaults() {
	fill(&a.Run, RunEverywhere)
	fill(&a.Minimum, DefaultMinimum)
	fill(&a.Check.Every, DefaultCheckEvery)
	fill(&a.Check.Timeout, DefaultCheckTimeout)
	fill(&a.Check.Rise, DefaultRise)
	fill(&a.Check.Fall, DefaultFall)
}

func fill[T comparable](value *T, otherwise T) {
	if *value == *new(T) {
		*value = otherwise
	}
}

// addressWord stands for the address of an instance in URLs and commands.
const addressWord = "{address}"

// In puts the instance's address into a URL or a word of a command.
func (i *Instance) In(pattern string) string {
	return strings.ReplaceAll(pattern, addressWord, i.Address)
}

// HasAddress tells whether a URL or a word names the instance's address.
func HasAddress(pattern string) bool { return strings.Contains(pattern, addressWord) }

// Fresh is how old a controller's last check of an instance may be, where each arrives within late: the checks of one
// instance never overlap, so the next one begins Every after the last, or when that has ended, and may take Timeout itself.
// An instance that hangs is Down after about Fall times the longer of the two.
func (c *AppCheck) Fresh(late time.Duration) time.Duration {
	return max(c.Every, c.Timeout) + c.Timeout + late
}
