module refit.dev/tests/servers/snapshotter

go 1.26

require (
	github.com/kubernetes-csi/external-snapshotter/client/v4 v4.0.0
	github.com/kubernetes-csi/external-snapshotter/client/v8 v8.6.0
)
