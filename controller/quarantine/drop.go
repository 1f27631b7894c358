package quarantine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/postgres"
	"mainstay/controller/wire"
)

// ShowBound is how long Show may read the transactions of a piece; those found by then are shown.
const ShowBound = 7 * time.Second

// shownTransactions bounds the list of transactions.
const shownTransactions = 1000

// NotIDError is returned for a text that cannot be the ID of a piece: an ID is a name, never a path.
type NotIDError struct{ Text string }

func (e *NotIDError) Error() string { return fmt.Sprintf("%q is not the ID of a piece", e.Text) }

// NoPieceError is returned when the host has no piece of that ID.
type NoPieceError struct{ Host, ID string }

func (e *NoPieceError) Error() string {
	return fmt.Sprintf("%s has no piece %s; run `mainstay member quarantine list` to see its pieces", e.Host, e.ID)
}

// removal is a dropped piece that Run must remove; done has room for the result.
type removal struct {
	from  store
	piece wire.Piece
	done  chan error
}

// find reads the record of one piece.
func (h *Host) find(id string) (wire.Piece, store, error) {
	stores, err := h.stores()
	if err != nil || id != filepath.Base(id) || strings.HasPrefix(id, ".") {
		return wire.Piece{}, store{}, &NotIDError{id}
	}
	for _, q := range stores {
		if p, err := q.read(id); !errors.Is(err, fs.ErrNotExist) {
			return p, q, err
		}
	}
	return wire.Piece{}, store{}, &NoPieceError{h.o.Config.Host, id}
}

// Show returns a piece and the commits in it, as far as they can be read before ctx ends, which the caller bounds by ShowBound; note says
// what is missing in the list. The errors are *NotIDError, *NoPieceError, or the disk's.
func (h *Host) Show(ctx context.Context, id string) (p wire.Piece, list []wire.Transaction, note string, err error) {
	if p, _, err = h.find(id); err != nil {
		return p, nil, "", err
	}
	list, note = h.transactions(ctx, p)
	return p, list, note, nil
}

// transactions lists the commits in a piece, as far as they can be read.
func (h *Host) transactions(ctx context.Context, p wire.Piece) (list []wire.Transaction, note string) {
	pg := h.o.Server(p.Member)
	switch {
	case p.Bytes == 0:
		return nil, ""
	case p.Problem != "" || p.Dropped != nil:
		return nil, "its files are incomplete"
	case pg == nil:
		return nil, "the agent no longer manages " + p.Member + ", so it has no pg_waldump for it"
	}
	dir := p.Place
	if p.How == wire.Rebuilt {
		dir = filepath.Join(dir, "pg_wal")
	}
	found, total, err := pg.Transactions(ctx, dir, postgres.Discard{Timeline: p.Timeline, From: p.From, To: p.To}, shownTransactions)
	for _, t := range found {
		list = append(list, wire.Transaction(t))
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		note = fmt.Sprintf("reading stopped after %s; there may be more", ShowBound)
	case err != nil:
		note = err.Error()
	case total > len(list):
		note = fmt.Sprintf("the first %d of %d", len(list), total)
	case total < p.Transactions:
		note = fmt.Sprintf("%d more on later timelines", p.Transactions-total)
	}
	return list, note
}

// Drop destroys a piece on an operator's request, which is in the record and in the log before the first file is removed. gone tells
// whether the files were removed before ctx ended; otherwise Run removes them later. The errors are *NotIDError, *NoPieceError, or the
// disk's.
func (h *Host) Drop(ctx context.Context, id string, by wire.Drop) (p wire.Piece, gone bool, err error) {
	p, q, err := h.find(id)
	if err != nil {
		return p, false, err
	}
	if p.Dropped == nil {
		mark := func(p *wire.Piece) bool { p.Dropped = &by; return true }
		if err := h.amend(q, p.ID, mark); err != nil {
			return p, false, err
		}
		p.Dropped = &by
	}
	h.o.Log.Warn("an operator drops quarantined data", zap.String("id", p.ID), zap.String("member", p.Member), zap.String("operator", by.By),
		zap.String("reason", by.Reason),
		zap.Uint32("timeline", uint32(p.Timeline)), zap.Stringer("from", p.From), zap.Stringer("to", p.To), zap.Int64("bytes", p.Bytes),
		zap.Int("transactions", p.Transactions), zap.String("place", p.Place))
	job := removal{q, p, make(chan error, 1)}
	select {
	case h.drops <- job:
	case <-ctx.Done():
		return p, false, nil // an earlier removal still runs; Run continues with this one later
	}
	select {
	case err = <-job.done:
		return p, err == nil, err
	case <-ctx.Done():
		return p, false, nil
	}
}

// removeDropped completes the removal of dropped pieces, and interrupted reductions.
func (h *Host) removeDropped(ctx context.Context) {
	stores, _ := h.stores() // the pattern is constant
	for _, q := range stores {
		all, err := q.list()
		if err != nil {
			h.o.Log.Error("the quarantine cannot be read", zap.String("folder", q.dir), zap.Error(err))
		}
		for _, p := range all {
			if p.Dropped != nil && ctx.Err() == nil {
				_ = h.remove(ctx, q, p) // logged there, and retried
			} else if p.Reduced != nil && !p.Reduced.Done && p.Problem == "" && ctx.Err() == nil {
				h.finishReduced(ctx, q, p)
			}
		}
	}
}

func (h *Host) remove(ctx context.Context, q store, p wire.Piece) error {
	err := q.remove(ctx, p)
	if err != nil {
		h.o.Log.Error("files of a dropped piece could not be removed; drop it again",
			zap.String("id", p.ID), zap.String("member", p.Member), zap.Error(err))
		return err
	}
	h.o.Log.Info("the files of a dropped piece were removed", zap.String("id", p.ID), zap.String("member", p.Member))
	return nil
}
