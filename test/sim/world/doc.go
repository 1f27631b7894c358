// Package world is a seeded world around the real core: state.Apply, loop.Core (and decide under it), member.Next, Settle
// and Clocks run as they are; network, raft, clocks, guards, PostgreSQL and clients are models. One goroutine, one queue
// of events, virtual time: the same seed gives the same trace. One or two clusters share hosts; what goes wrong is a list of
// numbered faults, single ones and those in several steps (multiStep, each aimed at one rule), each with a random source of its
// own, so that a scenario stays recognisable when some are left out. From seed AppsFrom on each has app
// servers, each with the real appserver.Next under the shell of its host's agent, a policy for what leaves a site, and an operator who
// moves the platform between sites, says words and approves. Then everything heals, all must become well; in some scenarios all
// controllers end for a while, or the primary dies once more and explain's prediction is held to.
//
// A model may be more hostile than the thing it stands for, never kinder where a rule of the safety argument leans on it: test/conform
// puts the same cases to models and real parts, and what those cannot compare is said at the model.
// It must never look into the core to decide what to do next, and never read a real clock. A seed enters by New; a Result
// leaves by Run.
package world
