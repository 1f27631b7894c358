package platform

import (
	"slices"
	"testing"
)

func TestPrograms(t *testing.T) {
	p := &Platform{
		Apps:  []App{{Check: AppCheck{Exec: []string{"/b/check", "{address}"}}}, {Check: AppCheck{HTTP: "http://{address}/"}}},
		Hooks: []Hook{{Exec: []string{"/a/hook", "on"}}, {Webhook: "https://x/"}, {Exec: []string{"/b/check"}}},
		Hosts: []Host{{Fence: []FenceDevice{
			{Exec: "/c/cut"},
			{Agent: "fence_x", Parameters: map[string]string{"ip": "10.0.0.1", "ipmitool_path": "/d/tool", "api-path": "/rest",
				"passwd-script": "/e/pass", "exec": "/f/vm"}},
		}}},
	}
	if got, want := p.Programs(), []string{"/a/hook", "/b/check", "/c/cut", "/d/tool", "/e/pass", "/f/vm"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if got := (&Platform{}).Programs(); len(got) != 0 {
		t.Errorf("%v", got)
	}
	if FenceReserved("ssh-options") == "" {
		t.Error("an option of ssh can name a program")
	}
}
