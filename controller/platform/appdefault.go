package platform

import (
	"strings"
	"time"
)

// Defaults of an app's settings.
const (
	DefaultMinimum        = 1
	DefaultCheckEvery     = time.Second
	DefaultCheckTimeout   = time.Second
	DefaultRise           = 2
	DefaultFall           = 3
	DefaultReachableAfter = 5 * time.Second
)

// FillDefaults sets the defaults of every app. A platform that an earlier version wrote lacks newer settings, so each place
// that reads one (from the log, a snapshot or a request) calls it. Other code never sees a check without a timeout or a pool
// without a minimum.
func (p *Platform) FillDefaults() {
	for i := range p.Apps {
		p.Apps[i].FillDefaults()
	}
}

// FillDefaults sets the app's defaults. It replaces only zeros that are not valid settings.
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

// addressWord stands for an instance's address in URLs and commands.
const addressWord = "{address}"

// In puts the instance's address into a URL or a word of a command.
func (i *Instance) In(pattern string) string {
	return strings.ReplaceAll(pattern, addressWord, i.Address)
}

// HasAddress tells whether a URL or a word names the instance's address.
func HasAddress(pattern string) bool { return strings.Contains(pattern, addressWord) }

// Fresh is how old a controller's last check of an instance may be, if each result arrives within late. The checks of one
// instance never overlap: the next begins Every after the last, or when that has ended, and may itself take Timeout. An
// instance that hangs is Down after about Fall times the longer of the two.
func (c *AppCheck) Fresh(late time.Duration) time.Duration {
	return max(c.Every, c.Timeout) + c.Timeout + late
}
