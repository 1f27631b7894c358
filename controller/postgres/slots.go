package postgres

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"mainstay/controller/pgdial"
	"mainstay/controller/wakeup"
	"mainstay/health"
)

const slotPrefix = "mainstay_"

// maxUserSlots is how many slots of its user's a Status names.
const maxUserSlots = health.MaxSlots

var plainSlot = regexp.MustCompile(`^_?[a-z0-9-]{1,50}$`)

// SlotName is the name of a member's slot on every other member: feed-e1 has mainstay_feed_e1 (platform.ArchiveOwner has
// mainstay__archive). A name that does not map one to one into a slot's letters gets a few of its hash as well.
func SlotName(member string) string {
	name := slotPrefix + strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '_'
	}, member)
	if plainSlot.MatchString(member) {
		return name
	}
	sum := sha256.Sum256([]byte(member))
	return name[:min(len(name), 52)] + "_" + hex.EncodeToString(sum[:4])
}

// SyncSlots writes synchronized_standby_slots: the slots of these members. A consumer of a failover slot gets no change that one of
// them has not flushed.
func SyncSlots(members []string) string {
	slots := make([]string, len(members))
	for n, name := range members {
		slots[n] = SlotName(name)
	}
	return strings.Join(slots, ", ")
}

// IsSlotName tells whether a slot bears a name of SlotName's making: that of a member, present or removed.
func IsSlotName(slot string) bool { return strings.HasPrefix(slot, slotPrefix) }

// wornSlot tells, in SQL, whether a physical slot is made anew. One that was invalidated keeps no WAL; from 17 on it may be in use all the
// same, and its status is "unreserved" then. On a standby, an idle slot that was in use with hot_standby_feedback while this was a primary
// has the xmin of then for ever: it advances by position only, and its xmin reaches the present primary as feedback, where VACUUM
// removes no row that has died since. There it is made anew once it keeps no older WAL than a new one does.
func wornSlot(major int) string {
	invalid := "coalesce(wal_status, '') = 'lost'"
	if major >= 17 {
		invalid += " OR invalidation_reason IS NOT NULL"
	}
	return `(slot_type = 'physical' AND (` + invalid + ` OR pg_is_in_recovery() AND NOT active
		AND (xmin IS NOT NULL OR catalog_xmin IS NOT NULL) AND restart_lsn >= (SELECT redo_lsn FROM pg_control_checkpoint())))`
}

// EnsureSlots makes the named physical slots, reserving WAL at once, and drops those in drop, their senders ended first. A
// worn slot is made anew. It continues after a failure and returns them all; on a standby it works as well.
func (i *Server) EnsureSlots(ctx context.Context, names, drop []string) (err error) {
	defer i.wrap("make the slots of", &err)
	return i.with(ctx, func(c *sql.Conn) error {
		have, err := slotsOf(ctx, c, i.Binaries.Major)
		if err != nil {
			return err
		}
		var errs []error
		for _, name := range drop {
			if _, ok := have[name]; ok && !slices.Contains(names, name) {
				errs = append(errs, dropUsed(ctx, c, name))
			}
		}
		for _, name := range names {
			worn, ok := have[name]
			if worn {
				errs = append(errs, dropUsed(ctx, c, name))
			}
			if worn || !ok {
				errs = append(errs, slotCall(ctx, c, name, "SELECT pg_create_physical_replication_slot($1, true)"))
			}
		}
		return errors.Join(errs...)
	})
}

// DropSuperseded drops, on a standby, those of the named slots that are failover slots of its own, from when it was primary, and not in
// use. They hold a position that the present primary's have passed, and stop the synchronisation of all slots (17 and later).
func (i *Server) DropSuperseded(ctx context.Context, names []string) (err error) {
	defer i.wrap("drop superseded slots of", &err)
	return i.with(ctx, func(c *sql.Conn) error {
		var errs []error
		for _, name := range names {
			errs = append(errs, slotCall(ctx, c, name, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
				WHERE slot_name = $1 AND failover AND NOT synced AND NOT active AND pg_is_in_recovery()`))
		}
		return errors.Join(errs...)
	})
}

// objectInUse is the SQLSTATE of a slot that has a sender.
const objectInUse = "55006"

// dropUsed drops a physical slot that may have a sender: it is ended first, and its receiver comes back only after
// wal_retrieve_retry_interval, so a few tries do. ctx bounds them.
func dropUsed(ctx context.Context, c *sql.Conn, name string) error {
	for {
		err := slotCall(ctx, c, name,
			"SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1 AND slot_type = 'physical' AND active")
		if err == nil {
			err = slotCall(ctx, c, name,
				"SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND slot_type = 'physical'")
		}
		if pgdial.SQLState(err) != objectInUse {
			return err
		}
		if gone := wakeup.Pause(ctx, 5*time.Millisecond); gone != nil {
			return err
		}
	}
}

// DropIdleSlots drops Mainstay's slots without a stream, when it releases a member: nothing would advance
// them any more, and they would keep WAL.
func (i *Server) DropIdleSlots(ctx context.Context) (err error) {
	defer i.wrap("drop the slots of", &err)
	return i.exec(ctx, `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots
		WHERE starts_with(slot_name, $1) AND slot_type = 'physical' AND NOT active`, slotPrefix)
}

func slotCall(ctx context.Context, c *sql.Conn, name, statement string) error {
	if _, err := c.ExecContext(ctx, statement, name); err != nil {
		return fmt.Errorf("slot %s: %w", name, err)
	}
	return nil
}

// slotsOf maps the names of all slots to whether they are worn.
func slotsOf(ctx context.Context, c *sql.Conn, major int) (map[string]bool, error) {
	rows, err := c.QueryContext(ctx, "SELECT slot_name, coalesce("+wornSlot(major)+", false) FROM pg_get_replication_slots()")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]bool{}
	for rows.Next() {
		var name string
		var worn bool
		if err := rows.Scan(&name, &worn); err != nil {
			return nil, err
		}
		out[name] = worn
	}
	return out, rows.Err()
}
