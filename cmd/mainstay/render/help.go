package render

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"mainstay/controller/platform"
	"mainstay/health"
)

// Topic is something that mainstay help explains, in one line.
type Topic struct {
	Name  string `json:"name"`
	Short string `json:"short"`
}

// Topics is all that mainstay help explains.
type Topics struct {
	Pages    []Topic              `json:"pages"`    // of the guide
	Problems []health.Description `json:"problems"` // the worst first
	Verbs    []Topic              `json:"verbs"`    // a name of several words is a verb of a group
}

// Names are the names of all topics.
func (t Topics) Names() (names []string) {
	for _, page := range t.Pages {
		names = append(names, page.Name)
	}
	for _, d := range t.Problems {
		names = append(names, string(d.Kind))
	}
	for _, verb := range t.Verbs {
		names = append(names, verb.Name)
	}
	return names
}

// HelpTopics lists the topics; of verbs only the first words.
func HelpTopics(t Topics, o Options) string {
	var pages, problems, verbs []row
	for _, page := range t.Pages {
		pages = append(pages, texts(page.Name, page.Short))
	}
	for _, severity := range []health.Severity{health.Critical, health.Warning, health.Info} {
		problems = append(problems, o.kindsOf(t.Problems, severity)...)
	}
	for _, verb := range t.Verbs {
		if !strings.Contains(verb.Name, " ") {
			verbs = append(verbs, texts(verb.Name, verb.Short))
		}
	}
	return o.paint(bold, "pages of the guide") + "\n" + o.table("  ", nil, pages) +
		o.title("problems, the worst first") + o.table("  ", nil, problems) +
		o.title("verbs") + o.table("  ", nil, verbs) +
		"\n" + o.paint(bold, "next: ") + "mainstay help TOPIC\n"
}

// kindsOf lists the problems of one severity in as few lines as they need.
func (o Options) kindsOf(problems []health.Description, severity health.Severity) (rows []row) {
	var names []string
	for _, d := range problems {
		if d.Severity == severity {
			names = append(names, string(d.Kind))
		}
	}
	return labelled(cell{string(severity), severityStyle(severity)}, strings.Join(names, ", "))
}

// helpWidth is the width of the help's text.
const helpWidth = 100

// HelpProblem explains a problem and what to do about it.
func HelpProblem(d health.Description, o Options) string {
	rows := []row{
		{cells: []cell{{"severity", dim}, {string(d.Severity), severityStyle(d.Severity)}}},
		{cells: []cell{{"about", dim}, {text: string(d.About)}}},
	}
	next := or(d.Next, "mainstay status, whose line names the member and the command to run there")
	for _, part := range [][2]string{{"meaning", d.Meaning}, {"what to do", d.Remedy}, {"next", next}} {
		rows = append(rows, labelled(cell{part[0], dim}, part[1])...)
	}
	return o.paint(bold, string(d.Kind)) + "\n" + o.table("  ", nil, rows)
}

// labelled is a wrapped text with a label before its first line.
func labelled(label cell, text string) (rows []row) {
	for _, line := range wrap(text, helpWidth) {
		rows = append(rows, row{cells: []cell{label, {text: line}}})
		label = cell{}
	}
	return rows
}

// wrap breaks a text into lines of at most width characters, unless a single word is longer.
func wrap(text string, width int) (lines []string) {
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width:
			lines, line = append(lines, line), word
		default:
			line += " " + word
		}
	}
	return append(lines, line)
}

// Nearest are at most four names that the operator may have meant by name, the nearest first.
func Nearest(name string, names []string) []string {
	distances := map[string]int{}
	var near []string
	for _, n := range names {
		if far := farFrom(strings.ToLower(name), n); far <= max(2, len(name)/3) {
			distances[n] = far
			near = append(near, n)
		}
	}
	slices.SortStableFunc(near, func(a, b string) int { return distances[a] - distances[b] })
	return near[:min(len(near), 4)]
}

// farFrom is the distance of the typed text from a name, or from one word of it.
func farFrom(typed, name string) int {
	far := platform.Distance(typed, strings.ToLower(name))
	if len(typed) >= 3 && strings.Contains(strings.ToLower(name), typed) {
		far = min(far, 1)
	}
	for _, word := range wordsOf(name) {
		far = min(far, platform.Distance(typed, word)+1)
	}
	return far
}

// wordsOf splits PrimaryStuck and site-switchover into their words, in lower case.
func wordsOf(name string) []string {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) || r == '-' {
			b.WriteRune(' ')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return strings.Fields(strings.ReplaceAll(b.String(), "-", ""))
}
