package world

import (
	"time"

	"mainstay/controller/appserver"
	"mainstay/health"
)

// server is the processes of one app server. They outlive their agent, and end with their host.
type server struct {
	m       *appSupervisor
	process health.Process // running, ending (its main process has ended, others live on) or ended
	sick    bool           // it runs without answering
	life    int
	by      int // the life of the agent that started it
	begun   int // the life of the agent whose start is under way; 0: none is
	tries   int // numbers the starts: one that was called off starts nothing
}

// start takes a while, on a disk that hangs for as long as that does; then is called when its task is free again.
func (s *server) start(then func()) {
	w, h := s.m.w, s.m.host
	s.tries++
	s.begun = h.agent.life
	try, by, d := s.tries, s.begun, w.span(5*time.Millisecond, 80*time.Millisecond)
	if w.rand.IntN(8) == 0 {
		d = w.span(80*time.Millisecond, 500*time.Millisecond)
	}
	h.again(d+h.stall(), func() {
		if s.tries != try {
			then()
			return
		}
		s.begun = 0
		if s.process == health.ProcessEnded {
			s.process, s.sick, s.by = health.ProcessRunning, false, by
			s.life++
			w.counts["app server starts"]++
			w.trace("app server %s runs", s.m.name)
			s.m.pool.together()
		}
		then()
	})
}

// callOff ends a start under way.
func (s *server) callOff() { s.tries, s.begun = s.tries+1, 0 }

// see is what a look shows. A start that an earlier agent has begun continues, and can be seen: it is a job of systemd's, or a
// process in its cgroup.
func (s *server) see() appserver.Seen {
	if s.process == health.ProcessEnded && s.begun != 0 && s.begun != s.m.host.agent.life {
		return appserver.Seen{Process: health.ProcessRunning, Starting: true}
	}
	return appserver.Seen{Process: s.process}
}

// term asks it to end. Some do not, and some leave others of their tree behind.
func (s *server) term() {
	w, life := s.m.w, s.life
	what := health.ProcessEnded
	switch w.rand.IntN(6) {
	case 0:
		return
	case 1:
		what = health.ProcessEnding
	}
	s.m.host.again(w.span(5*time.Millisecond, 120*time.Millisecond), func() {
		if s.life == life && s.process == health.ProcessRunning {
			s.becomes(what)
		}
	})
}

// kill ends all of it, well within what is counted for that.
func (s *server) kill() {
	life := s.life
	s.m.host.again(s.m.w.span(2*time.Millisecond, 50*time.Millisecond), func() {
		if s.life == life {
			s.becomes(health.ProcessEnded)
		}
	})
}

func (s *server) becomes(p health.Process) {
	if s.process != p {
		s.m.w.trace("app server %s: %s", s.m.name, p)
	}
	s.process = p
}

func (s *server) lives() bool { return s.process != health.ProcessEnded }

func (s *server) serves() bool { return s.process == health.ProcessRunning && !s.sick }
