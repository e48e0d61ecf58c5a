"""Objects of people, as they stand before a release: with rules of the app and rules that are none of our business."""

INGRESS = """
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: checkout
  namespace: shop
  annotations:
    nginx.ingress.kubernetes.io/proxy-read-timeout: "30"
    nginx.ingress.kubernetes.io/load-balance: ewma
spec:
  ingressClassName: nginx
  defaultBackend: {service: {name: sorry, port: {number: 80}}}
  tls:
  - {hosts: [shop.example], secretName: shop-tls}
  - {hosts: [help.example], secretName: help-tls}
  rules:
  - host: shop.example
    http:
      paths:
      - {path: /checkout, pathType: Prefix, backend: {service: {name: checkout, port: {name: http}}}}
      - {path: /cart, pathType: Prefix, backend: {service: {name: cart, port: {number: 80}}}}
  - host: help.example
    http:
      paths:
      - {path: /, pathType: Prefix, backend: {service: {name: help, port: {number: 80}}}}
"""

HTTP_ROUTE = """
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: checkout, namespace: shop}
spec:
  parentRefs:
  - {group: gateway.networking.k8s.io, kind: Gateway, name: public}
  hostnames: [shop.example]
  rules:
  - matches:
    - path: {type: PathPrefix, value: /cart}
    backendRefs:
    - {group: "", kind: Service, name: cart, port: 80, weight: 9}
    - {group: "", kind: Service, name: cart-next, port: 80, weight: 1}
  - name: checkout
    matches:
    - path: {type: PathPrefix, value: /checkout}
    - path: {type: PathPrefix, value: /pay}
      headers:
      - {type: Exact, name: x-region, value: north}
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {add: [{name: x-shop, value: "1"}]}
    backendRefs:
    - {group: "", kind: Service, name: checkout, port: 80, weight: 1}
    timeouts: {request: 10s}
"""

VIRTUAL_SERVICE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: checkout, namespace: shop}
spec:
  hosts: [shop.example]
  gateways: [public, mesh]
  http:
  - name: cart
    match:
    - uri: {prefix: /cart}
    route:
    - {destination: {host: cart, subset: v2}, weight: 90}
    - {destination: {host: cart, subset: v3}, weight: 10}
  - name: checkout
    match:
    - uri: {prefix: /checkout}
    - uri: {prefix: /pay}
      headers: {x-region: {exact: north}}
    route:
    - destination: {host: checkout.shop.svc.cluster.local, port: {number: 80}}
    retries: {attempts: 2, perTryTimeout: 2s}
    timeout: 10s
"""

DESTINATION_RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: checkout, namespace: shop}
spec:
  host: checkout
  trafficPolicy: {loadBalancer: {simple: LEAST_REQUEST}}
  subsets:
  - {name: all, labels: {app: checkout}}
"""
