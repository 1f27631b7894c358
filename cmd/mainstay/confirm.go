package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"
)

// yes asks a question that Enter answers with no. Without a terminal, or with --yes, it asks nothing and returns nil.
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

// typed makes the operator type a name before something that cannot be undone (S4). Without a terminal, --yes is required.
func (p *program) typed(ctx context.Context, already bool, name, question string) error {
	if already {
		return nil
	}
	if !p.asks {
		return refusedf("no terminal to confirm on; check with --dry-run, then add --yes")
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
