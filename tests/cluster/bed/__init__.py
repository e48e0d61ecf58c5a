"""The test bed: a real control plane, a kubelet of processes, real pods, Prometheus, load and a watch history."""
