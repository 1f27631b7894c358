package wire

import (
	"time"

	"mainstay/controller/platform"
	"mainstay/health"
)

// InstanceState is an app server as the agent of its host shows it.
type InstanceState struct {
	App  string           `json:"app,omitempty"`
	Goal platform.Wanting `json:"goal"`
	Seen health.Instance  `json:"seen"`
	// Closed says in a word why it gets no requests, "" if it may get some.
	Closed string `json:"closed,omitempty"`
}

// LeaseAnswer is an agent's answer to GET /v1/lease?member=M&epoch=E, asked by the agents of app servers that live with M
// while no leader answers.
type LeaseAnswer struct {
	Member string         `json:"member"`
	Epoch  platform.Epoch `json:"epoch"`
	// Left is what is left of its lease; 0 if it does not act as primary of that epoch.
	Left time.Duration `json:"left"`
}
