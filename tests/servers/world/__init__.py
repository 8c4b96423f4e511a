"""A small world for refit's tests: EC2 Auto Scaling played by moto, Kubernetes for real.

One process holds moto's server (`front` before it, `groups` and `targets` in it), the servers of
one Kubernetes cluster (`cluster`), and the `bridge` between the two: an instance that is in
service becomes a Node, an instance of the control plane becomes a kube-apiserver. Tests switch
what goes wrong through `admin`. See `__main__` for how it starts and ends.
"""
