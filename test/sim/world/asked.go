package world

import (
	"time"

	"mainstay/controller/state"
)

// askTimeout bounds one question to an app server, as operate's runner does.
const askTimeout = 5 * time.Second

// askFor carries out what a site switchover asks for: hooks, and the apps' own. Whoever is asked says yes or no, at once or
// late, or never while there is trouble.
func (c *controller) askFor(e state.Effect) {
	if c.tries[e] != nil {
		return
	}
	t, life, w := &try{}, c.life, c.w
	c.tries[e] = t
	ok, late := w.says(e)
	if late == never {
		t.hangs = true
		return
	}
	w.after(late, func() {
		w.net.awake(c.node, func() {
			if c.life != life || c.tries[e] != t {
				return
			}
			if t.unwanted {
				delete(c.tries, e)
				return
			}
			w.counts["asked: "+string(e.Kind)]++
			c.submit(state.Command{By: "mainstay", HookAnswered: &state.HookAnswered{Change: e.Change, Key: e.Key(),
				Answer: state.Answer{OK: ok, Detail: "said"}}})
			if ok || e.Kind == state.RunHook {
				delete(c.tries, e)
			} else {
				w.after(deviceAgain, func() { delete(c.tries, e) })
			}
		})
	})
}

// never is an answer that does not come.
const never = time.Duration(-1)

func (w *World) says(e state.Effect) (ok bool, late time.Duration) {
	late = w.span(5*time.Millisecond, 300*time.Millisecond)
	if w.now < w.trouble {
		switch w.rand.IntN(8) {
		case 0:
			return false, late
		case 1:
			return true, w.span(300*time.Millisecond, askTimeout)
		case 2:
			return false, askTimeout
		case 3:
			return false, never
		}
	}
	if e.Kind == state.RunHook {
		return true, late
	}
	m := w.appServer(e.Instance)
	return m != nil && m.server.serves(), late
}

func (w *World) appServer(name string) *appSupervisor {
	for _, p := range w.pools() {
		for _, m := range p.supervisors {
			if m.name == name {
				return m
			}
		}
	}
	return nil
}
