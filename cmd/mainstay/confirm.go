package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"
)

// yes asks a question that Enter answers with no; already is --yes, with which it asks nothing.
func (p *program) yes(ctx context.Context, already bool, question string) error {
	if already {
		return nil
	}
	if !p.asks {
		return errNoTerminal
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

// errNoTerminal is returned where a question cannot be asked: no answer is no consent, whichever program ran the command.
var errNoTerminal = refusedf("there is no terminal to confirm on, so nothing was changed; check with --dry-run, then add --yes")

// typed makes the operator type a name before something that cannot be undone (S4); already is --yes.
func (p *program) typed(ctx context.Context, already bool, name, question string) error {
	if already {
		return nil
	}
	if !p.asks {
		return errNoTerminal
	}
	fmt.Fprintf(p.stderr, "%s\ntype %s to continue: ", question, name)
	line, err := p.answer(ctx)
	if err == nil && line != name {
		err = refusedf("not confirmed; nothing was changed")
	}
	return err
}

// answer reads one line. A read from a terminal cannot be cancelled, so it runs in a goroutine beside the wait for ctx, which
// ends with the line or with the process.
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
