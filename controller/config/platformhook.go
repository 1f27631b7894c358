package config

import (
	"fmt"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"mainstay/controller/platform"
)

func (r *reader) hook(n *yaml.Node, at where, h *platform.Hook) {
	h.Timeout, h.OnFailure = platform.DefaultHookTimeout, platform.HookStop
	r.section(
		field{"step", r.text(&h.Step)},
		field{"when", r.text(&h.When)},
		field{"exec", list(r, &h.Exec, r.asText)},
		field{"webhook", r.text(&h.Webhook)},
		field{"timeout", r.duration(&h.Timeout)},
		field{"on-failure", word(r, &h.OnFailure)},
	)(n, at)
}

func hookForm(h platform.Hook) []setting {
	return []setting{
		{"step", scalar(h.Step), false},
		{"when", scalar(h.When), false},
		{"exec", listForm(h.Exec), len(h.Exec) == 0},
		text("webhook", h.Webhook),
		{"timeout", span(h.Timeout), h.Timeout == platform.DefaultHookTimeout},
		{"on-failure", scalar(h.OnFailure), h.OnFailure == platform.HookStop},
	}
}

// numbered is a hook with its position in the list, which history and status show: hooks have no names.
type numbered struct {
	n int
	platform.Hook
}

func numberedHooks(hooks []platform.Hook) (out []numbered) {
	for i, h := range hooks {
		out = append(out, numbered{i, h})
	}
	return out
}

func numberedForm(h numbered) []setting {
	return append([]setting{{"name", strconv.Itoa(h.n), false}}, hookForm(h.Hook)...)
}

var hookNotes = notes[numbered]{
	removed: func(numbered) (string, string) { return noteNext, "" },
	changed: func(string, numbered, numbered) string { return noteNext },
}

func (c *checks) hook(at where, h *platform.Hook) {
	c.stepOf(at.field("step"), h.Step)
	switch {
	case h.When == "" && !c.given(at.field("when")):
		c.add(at.field("when"), "is missing", "use before or after")
	default:
		oneOf(c.report, at.field("when"), h.When, platform.HookBefore, platform.HookAfter)
	}
	switch exec, webhook := len(h.Exec) > 0, h.Webhook != ""; {
	case exec && webhook:
		c.add(at.field("exec"), "cannot be combined with webhook", "keep one of the two; another hook is another entry")
	case exec:
		c.hookExec(at.field("exec"), h.Exec)
	case webhook:
		c.webhook(at.field("webhook"), h.Webhook)
	case !c.broken[at.field("exec").key] && !c.broken[at.field("webhook").key]:
		c.add(at, "has neither exec nor webhook", "add exec: with a program and its arguments, or webhook: with a URL")
	}
	if h.Timeout < time.Second || h.Timeout > platform.MaxHookTimeout {
		c.add(at.field("timeout"), span(h.Timeout)+" is out of range", "use 1s to 10m")
	}
	oneOf(c.report, at.field("on-failure"), h.OnFailure, platform.HookStop, platform.HookGoOn)
}

func (c *checks) stepOf(at where, step string) {
	if step == "" && !c.given(at) {
		c.add(at, "is missing", fmt.Sprintf("name the step: %s", some(platform.Steps())))
		return
	}
	oneOf(c.report, at, step, platform.Steps()...)
}

func (c *checks) hookExec(at where, words []string) {
	if !isPath(words[0]) {
		c.add(at.item(0, ""), quote(words[0])+" is not an absolute path", "write the full path of a program on every controller")
	}
	for i, word := range words {
		c.oneLine(at.item(i, ""), word)
	}
}

// webhook checks a URL that is called once for the hook, not once for each instance.
func (c *checks) webhook(at where, s string) {
	const example = "write a URL such as https://chat.example/hooks/moves"
	why, _ := urlWrong(s, false)
	if why == "" && platform.HasAddress(s) {
		why = "contains {address}, but a hook is not called for single instances"
	}
	if why != "" {
		c.add(at, why, example)
	}
}
