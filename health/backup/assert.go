package backup

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/lib/pq"

	"mainstay/controller/pgdial"
)

// ask runs the assertions. Each has a connection of its own, so that one leaves nothing to the next.
func (p *proving) ask(ctx context.Context) error {
	if len(p.checks) == 0 {
		return nil
	}
	return p.step(ctx, StepAssert, func(ctx context.Context, w *watch) error {
		if err := p.makeRole(ctx); err != nil {
			return err
		}
		w.total.Store(int64(len(p.checks)))
		for _, a := range p.checks {
			began := time.Now()
			c := p.assert(ctx, a, w)
			c.Took = time.Since(began)
			p.note(c)
			w.add(1)
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		return nil
	})
}

// makeRole makes the account of the assertions. It reads all tables, also past row security, which would hide rows; it is no superuser,
// because a function of a superuser's could run programs, also within a read-only transaction.
func (p *proving) makeRole(ctx context.Context) error {
	p.role = "mainstay_check_" + strings.ToLower(rand.Text()[:12])
	return p.query(ctx, func(ctx context.Context, c *sql.Conn) error {
		_, err := c.ExecContext(ctx, "CREATE ROLE "+p.role+" LOGIN BYPASSRLS IN ROLE pg_read_all_data")
		return err
	})
}

func (p *proving) dropRole(ctx context.Context) error {
	if p.role == "" {
		return nil
	}
	return p.query(ctx, func(ctx context.Context, c *sql.Conn) error {
		_, err := c.ExecContext(ctx, "DROP ROLE "+p.role)
		return err
	})
}

// canConnect lets the role into a database whose owner has shut PUBLIC out. The function that is returned takes that back.
func (p *proving) canConnect(ctx context.Context, database string) (undo func() error, err error) {
	change := func(verb, preposition string) error {
		return p.query(ctx, func(ctx context.Context, c *sql.Conn) error {
			_, err := c.ExecContext(ctx, fmt.Sprintf("%s CONNECT ON DATABASE %s %s %s", verb, pq.QuoteIdentifier(database), preposition, p.role))
			return err
		})
	}
	may := false
	err = p.query(ctx, func(ctx context.Context, c *sql.Conn) error {
		return c.QueryRowContext(ctx, "SELECT has_database_privilege($1, $2, 'CONNECT')", p.role, database).Scan(&may)
	})
	if err != nil || may {
		return func() error { return nil }, err
	}
	return func() error { return change("REVOKE", "FROM") }, change("GRANT", "TO")
}

// assert runs one assertion.
func (p *proving) assert(ctx context.Context, a Assertion, w *watch) Check {
	c := Check{Kind: CheckAssertion, Name: a.Name, Verdict: Good}
	limit := cmp.Or(a.Timeout, p.limits.Assertion)
	undo, err := p.canConnect(ctx, a.Database)
	if err == nil {
		w.patient(limit + giveUp)
		err = errors.Join(p.holds(ctx, a, limit), undo())
	}
	if err != nil {
		c.Verdict, c.Detail = judged(err), fmt.Sprintf("assertion %q in database %s: %v", a.Name, a.Database, brief(err, limit))
	}
	return c
}

// errUntrue is returned for an assertion that does not hold.
var errUntrue = errors.New("does not hold")

// errShape is returned for a statement that is no assertion.
var errShape = errors.New("must return one row with one boolean column")

// holds is nil if the assertion is true. The statement is prepared, which allows one command only.
func (p *proving) holds(ctx context.Context, a Assertion, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	at := p.instance.local(p.role, a.Database)
	delete(at.Runtime, "search_path") // the user's own; nothing of the superuser's runs here
	at.Runtime["default_transaction_read_only"] = "on"
	return pgdial.WithConn(ctx, at, func(c *sql.Conn) error {
		tx, err := c.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // nothing was written
		prepared, err := tx.PrepareContext(ctx, a.SQL)
		if err != nil {
			return err
		}
		defer prepared.Close()
		rows, err := prepared.QueryContext(ctx)
		if err != nil {
			return err
		}
		defer rows.Close()
		return answer(rows)
	})
}

func answer(rows *sql.Rows) error {
	types, err := rows.ColumnTypes()
	if err != nil {
		return err
	}
	if len(types) != 1 || types[0].DatabaseTypeName() != "BOOL" {
		return errShape
	}
	if !rows.Next() {
		return errors.Join(rows.Err(), fmt.Errorf("%w: it returned no row", errUntrue))
	}
	var holds sql.NullBool
	if err := rows.Scan(&holds); err != nil {
		return err
	}
	switch {
	case rows.Next():
		return errShape
	case !holds.Valid:
		err = fmt.Errorf("%w: it is NULL", errUntrue)
	case !holds.Bool:
		err = fmt.Errorf("%w: it is false", errUntrue)
	}
	return errors.Join(rows.Err(), err)
}

// speaking are the SQLSTATEs of errors that speak of the data: internal and corruption errors, files that are missing, and tables or
// columns that are not there.
var speaking = []string{"XX", "58", "42P01", "42703"}

// judged is the verdict for an assertion that failed. One that could not be asked (a mistake in it, a write, a deadline) says nothing about
// the data.
func judged(err error) Verdict {
	if errors.Is(err, errUntrue) {
		return Bad
	}
	for _, prefix := range speaking {
		if strings.HasPrefix(pgdial.SQLState(err), prefix) {
			return Bad
		}
	}
	return Unverified
}

// brief leaves out where the scratch instance was.
func brief(err error, limit time.Duration) error {
	var said *pq.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded) || pgdial.SQLState(err) == "57014":
		return fmt.Errorf("has no answer after %v", limit)
	case errors.As(err, &said):
		return fmt.Errorf("%s (SQLSTATE %s)", said.Message, said.Code)
	}
	var placed *pgdial.Error
	if errors.As(err, &placed) {
		return placed.Err
	}
	return err
}
