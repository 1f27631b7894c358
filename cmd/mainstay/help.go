package main

import (
	"bytes"
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"mainstay/cmd/mainstay/render"
	"mainstay/deploy/guide"
	"mainstay/health"
)

func (p *program) helpVerb() *cobra.Command {
	return &cobra.Command{
		Use:   "help [TOPIC]",
		Short: "Explain a verb, a problem or a page of the guide",
		Long: `Explain a verb or a problem that mainstay status shows, or print a page or a section of the guide. All of it is in
this binary. Without a topic, list all topics. Case does not matter.`,
		Example:           "  mainstay help\n  mainstay help PrimaryStuck\n  mainstay help site switchover\n  mainstay help runbook | less",
		ValidArgsFunction: completeTopics,
		RunE: func(c *cobra.Command, args []string) error {
			return p.verb(func(context.Context, []string) error { return p.help(c.Root(), args) })(c, args)
		},
	}
}

// help explains one topic; a verb below a group has two words or more.
func (p *program) help(root *cobra.Command, words []string) error {
	if len(words) == 0 {
		t := topics(root)
		return p.show(t, func(o render.Options) string { return render.HelpTopics(t, o) })
	}
	name := strings.Join(words, " ")
	if verb, rest, err := root.Find(strings.Fields(strings.ToLower(name))); err == nil && verb != root && len(rest) == 0 {
		return p.helpVerbOf(verb)
	}
	for _, d := range health.Descriptions() {
		if strings.EqualFold(string(d.Kind), name) {
			return p.show(d, func(o render.Options) string { return render.HelpProblem(d, o) })
		}
	}
	for _, page := range guide.Pages() {
		if strings.EqualFold(page, name) {
			text, _ := guide.Page(page)
			return p.show(helpText{Page: page, Text: text}, func(render.Options) string { return text })
		}
	}
	if page, heading := section(name); strings.EqualFold(heading, name) {
		text := sectionOf(page, heading)
		return p.show(helpText{Page: page, Text: text}, func(render.Options) string { return text })
	}
	return usageError{errors.New(noTopic(root, name))}
}

// sectionOf is the part of a page below a heading, with its own headings.
func sectionOf(page, heading string) string {
	all, _ := guide.Page(page)
	var b strings.Builder
	level := 0
	for line := range strings.Lines(all) {
		text := strings.TrimLeft(line, "#")
		depth := len(line) - len(text)
		switch {
		case level == 0 && depth > 1 && strings.TrimSpace(text) == heading:
			level = depth
		case level > 0 && depth > 0 && depth <= level && strings.HasPrefix(text, " "):
			return b.String()
		}
		if level > 0 {
			b.WriteString(line)
		}
	}
	return b.String()
}

// helpText is the help of a verb, or a page of the guide, as JSON.
type helpText struct {
	Verb string `json:"verb,omitempty"`
	Page string `json:"page,omitempty"`
	Text string `json:"text"`
}

func (p *program) helpVerbOf(verb *cobra.Command) error {
	var text bytes.Buffer
	verb.InitDefaultHelpFlag() // so that --help is among its flags
	verb.SetOut(&text)
	if err := verb.Help(); err != nil {
		return err
	}
	return p.show(helpText{Verb: verbName(verb), Text: text.String()}, func(render.Options) string { return text.String() })
}

func noTopic(root *cobra.Command, name string) string {
	s := "no help topic " + quote(name)
	if page, heading := section(name); page != "" {
		return s + "; `mainstay help " + page + "` has " + quote(heading) + ": mainstay help " + quote(heading) + " prints that"
	}
	if near := render.Nearest(name, topics(root).Names()); len(near) > 0 {
		return s + "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return s + "; mainstay help lists all"
}

// section finds a heading of the guide: that very one, or else the first that contains the words. "" for none.
func section(name string) (page, heading string) {
	for _, p := range guide.Pages() {
		text, _ := guide.Page(p)
		for line := range strings.Lines(text) {
			h, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
			if h = strings.TrimSpace(h); !ok || !strings.HasPrefix(line, "##") {
				continue
			}
			if strings.EqualFold(h, name) {
				return p, h
			}
			if page == "" && strings.Contains(strings.ToLower(h), strings.ToLower(name)) {
				page, heading = p, h
			}
		}
	}
	return page, heading
}

// verbName is the full name of a verb, without the program's name.
func verbName(c *cobra.Command) string {
	return strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" ")
}

func topics(root *cobra.Command) render.Topics {
	t := render.Topics{Problems: health.Descriptions()}
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if !sub.IsAvailableCommand() {
				continue
			}
			t.Verbs = append(t.Verbs, render.Topic{Name: verbName(sub), Short: sub.Short})
			walk(sub)
		}
	}
	walk(root)
	for _, page := range guide.Pages() {
		text, _ := guide.Page(page)
		title, _, _ := strings.Cut(text, "\n")
		t.Pages = append(t.Pages, render.Topic{Name: page, Short: strings.TrimLeft(title, "# ")})
	}
	return t
}

// completeTopics completes the first word of a topic with all verbs, problems and pages, and a further word with the verbs of
// its group.
func completeTopics(c *cobra.Command, args []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	verb, rest, err := c.Root().Find(args)
	if err != nil || len(rest) > 0 {
		return nil, noFiles
	}
	for _, sub := range verb.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	if len(args) > 0 {
		return names, noFiles
	}
	for _, d := range health.Descriptions() {
		names = append(names, string(d.Kind))
	}
	return append(names, guide.Pages()...), noFiles
}
