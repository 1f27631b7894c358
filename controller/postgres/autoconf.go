package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const autoConf = "postgresql.auto.conf"

// AlterSystem sets managed settings on an adopted cluster that has not yet been restarted under our configuration, and
// nothing else; the caller reloads. At the first start under us DropAutoConf takes them out again.
func (i *Instance) AlterSystem(ctx context.Context, values map[string]string) (err error) {
	defer i.wrap("alter system of", &err)
	var do []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !isManaged(name) {
			return fmt.Errorf("%q is not a managed setting; it belongs to the user", name)
		}
		do = append(do, "ALTER SYSTEM SET "+quoteIdent(name)+" = "+quoteLiteral(values[name]))
	}
	return i.with(ctx, func(c *sql.Conn) error { return execAll(ctx, c, do) })
}

var autoConfKey = regexp.MustCompile(`^\s*([A-Za-z_][A-Za-z0-9_.]*)\s*(=|\s)`)

// DropAutoConf removes settings from postgresql.auto.conf of a stopped server: what ALTER SYSTEM left there wins over
// every file of ours. An absent file is fine.
func (i *Instance) DropAutoConf(ctx context.Context, keys []string) (err error) {
	defer i.wrap("clean postgresql.auto.conf of", &err)
	if err := i.stopped(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return i.dropAutoConf(i.Data, keys)
}

func (i *Instance) dropAutoConf(data string, keys []string) error {
	path := filepath.Join(data, autoConf)
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	kept := withoutKeys(string(raw), keys)
	if kept == string(raw) {
		return nil
	}
	return i.Owner.writeFile(path, []byte(kept), 0o600)
}

// withoutKeys drops the lines that set one of the keys. ALTER SYSTEM writes one setting a line.
func withoutKeys(conf string, keys []string) string {
	var b strings.Builder
	for line := range strings.Lines(conf) {
		m := autoConfKey.FindStringSubmatch(line)
		if m != nil && slices.ContainsFunc(keys, func(k string) bool { return strings.EqualFold(k, m[1]) }) {
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}
