package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"mainstay/controller/durable"
	"mainstay/controller/loop"
)

// heardFile, in the controller's folder, holds the highest generation that agents have reported, if that is not its own or a later one. A
// recovery must choose a higher generation; otherwise no agent that obeys that one would ever obey this controller again.
const heardFile = "heard.json"

type heard struct {
	Generation uint64 `json:"generation"`
}

// heardEvery is how often the agents' generation is checked.
const heardEvery = 5 * time.Second

// keepHeard keeps the file up to date. It logs a failure and tries again.
func (r *running) keepHeard(ctx context.Context) error {
	t := time.NewTicker(heardEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		generation, err := r.loop.Heard(ctx)
		if err == nil {
			err = noteHeard(r.cfg.Data, generation, r.machine.State().Generation)
		}
		if err != nil && ctx.Err() == nil {
			r.logger.Warn("the generation that agents obey cannot be stored; trying again", zap.Error(err))
		}
	}
}

// lead runs the loop. If it ends because its group was given up, it stores the new generation for the next recovery.
func (r *running) lead(ctx context.Context, leading <-chan bool) error {
	err := r.loop.Run(ctx, leading)
	if given := (*loop.GivenUpError)(nil); errors.As(err, &given) {
		err = errors.Join(err, noteHeard(r.cfg.Data, given.Obeyed, given.Generation))
	}
	return err
}

// noteHeard writes the reported generation if it is later than the controller's own and not yet in the file. Otherwise, which is nearly
// always, it does not touch the disk.
func noteHeard(dir string, generation, own uint64) error {
	if generation <= own {
		return nil
	}
	kept, err := readHeard(dir)
	if err != nil || generation <= kept {
		return err
	}
	b, err := json.Marshal(heard{generation})
	if err != nil {
		return err
	}
	return durable.Write(filepath.Join(dir, heardFile), b, 0o600)
}

// readHeard is 0 where no generation was reported.
func readHeard(dir string) (uint64, error) {
	path := filepath.Join(dir, heardFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	var h heard
	if err == nil {
		err = json.Unmarshal(b, &h)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w; delete it if no controller of this platform was ever recovered", path, err)
	}
	return h.Generation, nil
}
