package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// printPhases prints each count beside its budget. Times have none.
func printPhases(out io.Writer, phases []phase, budgets []budget) {
	for _, p := range phases {
		fmt.Fprintf(out, "\n%-58s %12s %12s\n", fmt.Sprintf("%s, %.2f s", p.Name, p.Seconds), "counted", "budget")
		for _, f := range p.Figures {
			fmt.Fprintln(out, strings.TrimRight("  "+f.line(budgetOf(budgets, p.Name, f.Item)), " "))
		}
		fmt.Fprintln(out, "  CPU seconds: "+p.cpu())
		for _, line := range p.Details {
			fmt.Fprintln(out, "    "+line)
		}
	}
	fmt.Fprintln(out, "\nBudgets:")
	for _, b := range budgets {
		fmt.Fprintf(out, "  %s, %s: at most %d (%s)\n", b.phase, b.item, b.most, b.why)
	}
}

func (f figure) line(b budget, judged bool) string {
	if f.Lack != "" {
		return fmt.Sprintf("%-56s not counted: %s", f.Item, f.Lack)
	}
	line := fmt.Sprintf("%-56s %12d", f.Item, f.Value)
	if !judged {
		return line
	}
	line += fmt.Sprintf(" %12d", b.most)
	if f.Value > b.most {
		line += "  EXCEEDED"
	}
	return line
}

func (p phase) cpu() string {
	var words []string
	for _, kind := range slices.Sorted(maps.Keys(p.CPU)) {
		name := plural[kind]
		if name == "" {
			name = kind
		}
		words = append(words, fmt.Sprintf("%s %.2f", name, p.CPU[kind]))
	}
	return strings.Join(words, ", ")
}
