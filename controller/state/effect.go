package state

// Effect is something to be done outside the log, again and again until its result is committed: the intent is committed
// first, so that whoever leads next goes on with it (S7).
type Effect struct {
	Kind  EffectKind
	Host  string
	Fence uint64 // its number
}

// EffectKind names an effect.
type EffectKind string

const (
	PowerOff EffectKind = "power-off"
	PowerOn  EffectKind = "power-on"
)

// Effects are those that are wanted and not confirmed yet, in a fixed order.
func (s *State) Effects() []Effect {
	var all []Effect
	for _, host := range s.FencedHosts() {
		switch f := s.Fences[host]; {
		case f.Release:
			all = append(all, Effect{PowerOn, host, f.Number})
		case !f.Off:
			all = append(all, Effect{PowerOff, host, f.Number})
		}
	}
	return all
}
