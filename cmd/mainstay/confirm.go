package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"
)

// yes asks a question that Enter answers with no. Where nobody can answer, or with --yes, it asks nothing and goes on.
func (p *program) yes(ctx context.Context, already bool, question string) error {
	if already || !p.asks {
		return nil
	}
	fmt.Fprintf(p.stderr, "%s [y/N] ", question)
	switch line, err := p.answer(ctx); {
	case err != nil:
		return err
	case strings.EqualFold(line, "y"), strings.EqualFold(line, "yes"):
		return nil
	}
	return refusedf("not confirmed; nothing was changed")
}

// typed makes the operator type a name before something that cannot be taken back (S4). Where nobody can answer, --yes is
// needed.
func (p *program) typed(ctx context.Context, already bool, name, question string) error {
	if already {
		return nil
	}
	if !p.asks {
		return refusedf("nobody can confirm here; look at it with --dry-run, then add --yes")
	}
	fmt.Fprintf(p.stderr, "%s\ntype %s to go on: ", question, name)
	line, err := p.answer(ctx)
	if err == nil && line != name {
		err = refusedf("not confirmed; nothing was changed")
	}
	return err
}

// answer reads one line. The read of a terminal cannot be cut short, so it runs beside the wait for ctx; it ends with the
// process, or with the line.
func (p *program) answer(ctx context.Context) (string, error) {
	lines := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(p.stdin).ReadString('\n') // an end of input is the empty answer: no
		lines <- strings.TrimSpace(line)
	}()
	select {
	case line := <-lines:
		return line, nil
	case <-ctx.Done():
		return "", refusedf("interrupted; nothing was changed")
	}
}
