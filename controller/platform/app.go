package platform

import "time"

// App is a pool of app servers.
type App struct {
	Name  string   `json:"name"`
	Needs []string `json:"needs,omitempty"` // clusters; the pool's site is that of the first one's primary
	// Run is RunEverywhere (the default) or RunWithPrimary.
	Run   AppRun   `json:"run"`
	Check AppCheck `json:"check"`
	// Minimum is how many instances must be well on each site where the pool runs, default 1; below it AppPoolShort.
	Minimum int `json:"minimum"` // 1 to the number of instances there
	// Drain is how long an instance is out of routing before it is stopped, 0 to 10m.
	Drain time.Duration `json:"drain,omitempty"`
	// Quiesce and Resume are the hooks of an app that runs everywhere: a site switchover asks each instance that takes requests
	// to refuse writes while the clusters move, and to take them again afterwards, also after an undo. The instances of an app
	// that runs with its primary are stopped instead.
	Quiesce string `json:"quiesce,omitempty"` // URL with {address}, called by POST; never set without Resume
	Resume  string `json:"resume,omitempty"`  // URL with {address}, asked by POST
	// Verify is asked by POST after a site switchover: the app makes a real write and reads it back.
	Verify    string     `json:"verify,omitempty"` // URL; of each instance with {address}, else of the load balancer before them
	Instances []Instance `json:"instances"`
}

// AppCheck is how an instance is probed, by every controller: by HTTP, by Exec, or by connecting where neither is given.
// {address} stands for the instance's address in HTTP and in the words of Exec. Nothing in it is secret.
type AppCheck struct {
	HTTP    string            `json:"http,omitempty"`   // URL
	Status  int               `json:"status,omitempty"` // the status wanted; 0 for any 2xx
	Body    string            `json:"body,omitempty"`   // a text that the first 64 KiB of the body must contain
	Headers map[string]string `json:"headers,omitempty"`
	CA      string            `json:"ca,omitempty"`   // file on the controllers: the CA of the server's certificate; "" for the system's
	Exec    []string          `json:"exec,omitempty"` // a program on the controllers, by its absolute path; exit status 0 is well
	Every   time.Duration     `json:"every"`          // 100ms to 1h, default 1s
	Timeout time.Duration     `json:"timeout"`        // 100ms to 1m, default 1s; see Fresh
	Rise    int               `json:"rise"`           // checks in a row until an instance counts as well, 1 to 100, default 2
	Fall    int               `json:"fall"`           // checks in a row until it no longer does, 1 to 100, default 3
}

// Instance is one app server of an app. The file of its host's agent says how to start and stop it.
type Instance struct {
	Name    string `json:"name"`
	Site    string `json:"site"`
	Address string `json:"address"`        // host:port
	Host    string `json:"host,omitempty"` // the host whose agent starts and stops it; "" if no agent does
}

// App returns the app of that name, or nil.
func (p *Platform) App(name string) *App {
	for i := range p.Apps {
		if p.Apps[i].Name == name {
			return &p.Apps[i]
		}
	}
	return nil
}

// Instance returns the instance of that name, or nil.
func (a *App) Instance(name string) *Instance {
	for i := range a.Instances {
		if a.Instances[i].Name == name {
			return &a.Instances[i]
		}
	}
	return nil
}

// InstanceGoal is what the controllers want an instance to be. The zero value wants nothing: the agent leaves it as it is.
type InstanceGoal struct {
	App  string  `json:"app"`
	Want Wanting `json:"want"`
	// Drain is how long the instance is out of routing before it is stopped.
	Drain time.Duration `json:"drain,omitempty"`
	// Restart grows with each wanted restart: an instance that was started before that is restarted once.
	Restart uint64 `json:"restart,omitempty"`
	// Permit, if not 0, is how long the instance may run, counted from the sending of the report that this goal answers (L1).
	// It is stopped when the permit ends, unless the agent of member Primary says that its lease is still valid. 0 for
	// instances that may run without the controllers.
	Permit  time.Duration `json:"permit,omitempty"`
	Cluster string        `json:"cluster,omitempty"` // the cluster whose primary it runs with
	Primary string        `json:"primary,omitempty"` // the member
	Epoch   Epoch         `json:"epoch,omitzero"`
	Agent   string        `json:"agent,omitempty"` // host:port of that member's agent
}

// Wanting is the state wanted of an instance.
type Wanting string

const (
	WantNothing Wanting = ""
	WantRunning Wanting = "running"
	WantStopped Wanting = "stopped" // drained, then stopped
)
