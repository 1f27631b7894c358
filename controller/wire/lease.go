package wire

import (
	"time"

	"mainstay/controller/platform"
)

// LeaseAnswer is an agent's answer to GET /v1/lease?member=M&epoch=E, asked by the agents of app servers that live with M
// while no leader answers.
type LeaseAnswer struct {
	Member string         `json:"member"`
	Epoch  platform.Epoch `json:"epoch"`
	// Left is for how long M is good for a permit: as long as if the permit had been given with the last renewal of its lease;
	// 0 if it does not act as primary of that epoch.
	Left time.Duration `json:"left"`
}
