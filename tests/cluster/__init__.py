"""Stories on real parts: a real control plane, real pods and a real Prometheus."""
