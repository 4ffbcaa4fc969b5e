extension DefaultRoles {
  /// Roles and bindings for people, nodes and the control plane's programs (kubernetes: "Default roles and role
  /// bindings"). DefaultRoleParser tells how to read it.
  static let texts = """
    role cluster-admin
      * *: *
      * paths: *
    role admin
      gathers aggregate-to-admin
    role edit aggregate-to-admin
      gathers aggregate-to-edit
    role view aggregate-to-edit
      gathers aggregate-to-view
    role system:aggregate-to-admin aggregate-to-admin
      create authorization.k8s.io: localsubjectaccessreviews
      readwrite rbac.authorization.k8s.io: roles,rolebindings
    role system:aggregate-to-edit aggregate-to-edit
      read core: pods/attach,pods/proxy,pods/exec,pods/portforward,secrets,services/proxy
      impersonate core: serviceaccounts
      write core: pods,pods/attach,pods/proxy,pods/exec,pods/portforward
      create core: pods/eviction
      write core: replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,services/proxy
      write core: persistentvolumeclaims,configmaps,secrets,events
      create core: serviceaccounts/token
      write apps: statefulsets,statefulsets/scale,daemonsets,deployments,deployments/scale,deployments/rollback
      write apps: replicasets,replicasets/scale
      write autoscaling: horizontalpodautoscalers
      write batch: jobs,cronjobs
      write policy: poddisruptionbudgets
      write networking.k8s.io: networkpolicies,ingresses
      readwrite coordination.k8s.io: leases
      write resource.k8s.io: resourceclaims,resourceclaimtemplates
    role system:aggregate-to-view aggregate-to-view
      read core: pods,replicationcontrollers,replicationcontrollers/scale,serviceaccounts,services,services/status,endpoints
      read core: persistentvolumeclaims,persistentvolumeclaims/status,configmaps
      read core: limitranges,resourcequotas,bindings,events,pods/status,resourcequotas/status,namespaces/status
      read core: replicationcontrollers/status,pods/log,namespaces
      read discovery.k8s.io: endpointslices
      read apps: controllerrevisions,statefulsets,statefulsets/status,statefulsets/scale,daemonsets,daemonsets/status
      read apps: deployments,deployments/status,deployments/scale,replicasets,replicasets/status,replicasets/scale
      read autoscaling: horizontalpodautoscalers,horizontalpodautoscalers/status
      read batch: jobs,cronjobs,cronjobs/status,jobs/status
      read policy: poddisruptionbudgets,poddisruptionbudgets/status
      read networking.k8s.io: networkpolicies,ingresses,ingresses/status
      read resource.k8s.io: resourceclaims,resourceclaims/status,resourceclaimtemplates
    # The server answers for metrics.k8s.io itself, so that it brings the role of the metrics server as well.
    role system:aggregated-metrics-reader aggregate-to-view aggregate-to-edit aggregate-to-admin
      read metrics.k8s.io: pods,nodes
    role system:discovery
      get paths: /livez,/readyz,/healthz,/version,/version/,/openapi,/openapi/*,/api,/api/*,/apis,/apis/*
    role system:public-info-viewer
      get paths: /livez,/readyz,/healthz,/version,/version/
    role system:monitoring
      get paths: /metrics,/metrics/slis,/livez,/livez/*,/readyz,/readyz/*,/healthz,/healthz/*
    role system:basic-user
      create authorization.k8s.io: selfsubjectaccessreviews,selfsubjectrulesreviews
      create authentication.k8s.io: selfsubjectreviews
    role system:service-account-issuer-discovery
      get paths: /.well-known/openid-configuration,/.well-known/openid-configuration/,/openid/v1/jwks,/openid/v1/jwks/
    role system:cluster-trust-bundle-discovery
      read certificates.k8s.io: clustertrustbundles
    role system:auth-delegator
      create authentication.k8s.io: tokenreviews
      create authorization.k8s.io: subjectaccessreviews
    role system:kubelet-api-admin
      read core: nodes
      proxy core: nodes
      * core: nodes/log,nodes/metrics,nodes/proxy,nodes/stats,nodes/configz,nodes/healthz,nodes/pods
    role system:node-bootstrapper
      create,get,list,watch certificates.k8s.io: certificatesigningrequests
    role system:node-proxier
      list,watch core: services,endpoints
      read core: nodes
      note core,events.k8s.io: events
      list,watch discovery.k8s.io: endpointslices
      list,watch networking.k8s.io: servicecidrs
    role swiftlet:network-policies
      list,watch core: namespaces,pods
      list,watch networking.k8s.io: networkpolicies
    role system:kube-aggregator
      read core: services,endpoints
    role system:kube-dns
      list,watch core: endpoints,services
    role system:persistent-volume-provisioner
      create,delete,get,list,watch core: persistentvolumes
      get,list,patch,update,watch core: persistentvolumeclaims
      read storage.k8s.io: storageclasses
      watch core: events
      note core,events.k8s.io: events
    role system:volume-scheduler
      get,list,patch,update,watch core: persistentvolumes,persistentvolumeclaims
      read storage.k8s.io: storageclasses
    role system:certificates.k8s.io:certificatesigningrequests:nodeclient
      create certificates.k8s.io: certificatesigningrequests/nodeclient
    role system:certificates.k8s.io:certificatesigningrequests:selfnodeclient
      create certificates.k8s.io: certificatesigningrequests/selfnodeclient
    role system:certificates.k8s.io:legacy-unknown-approver
      approve certificates.k8s.io: signers kubernetes.io/legacy-unknown
    role system:certificates.k8s.io:kubelet-serving-approver
      approve certificates.k8s.io: signers kubernetes.io/kubelet-serving
    role system:certificates.k8s.io:kube-apiserver-client-approver
      approve certificates.k8s.io: signers kubernetes.io/kube-apiserver-client
    role system:certificates.k8s.io:kube-apiserver-client-kubelet-approver
      approve certificates.k8s.io: signers kubernetes.io/kube-apiserver-client-kubelet
    # Bound to nobody: the node authorizer gives a kubelet only what its own pods need. It is there for those who bind it.
    role system:node
      create authentication.k8s.io: tokenreviews
      create authorization.k8s.io: subjectaccessreviews,localsubjectaccessreviews
      read core: services
      create,get,list,watch core: nodes
      patch,update core: nodes/status
      patch,update core: nodes
      note core,events.k8s.io: events
      read core: pods
      create,delete core: pods
      patch,update core: pods/status
      create core: pods/eviction
      read core: secrets,configmaps
      get core: persistentvolumeclaims,persistentvolumes
      get core: endpoints
      create,get,list,watch certificates.k8s.io: certificatesigningrequests
      create,delete,get,patch,update coordination.k8s.io: leases
      get storage.k8s.io: volumeattachments
      create core: serviceaccounts/token
      get,patch,update core: persistentvolumeclaims/status
      read storage.k8s.io: csidrivers
      create,delete,get,patch,update storage.k8s.io: csinodes
      read node.k8s.io: runtimeclasses
      get resource.k8s.io: resourceclaims
      deletecollection resource.k8s.io: resourceslices
    role system:kube-scheduler
      note core,events.k8s.io: events
      create coordination.k8s.io: leases
      get,list,update,watch coordination.k8s.io: leases kube-scheduler
      create coordination.k8s.io: leasecandidates
      read core: nodes
      delete,get,list,watch core: pods
      create core: bindings,pods/binding
      patch,update core: pods/status
      read core: replicationcontrollers,services,namespaces
      read apps: replicasets,statefulsets
      read policy: poddisruptionbudgets
      get,list,watch core: persistentvolumeclaims,persistentvolumes
      create authentication.k8s.io: tokenreviews
      create authorization.k8s.io: subjectaccessreviews
      read storage.k8s.io: csinodes,csidrivers,csistoragecapacities,volumeattachments
      read resource.k8s.io: deviceclasses,resourceslices
      get,list,patch,update,watch resource.k8s.io: resourceclaims
      patch,update resource.k8s.io: resourceclaims/status
    role system:kube-controller-manager
      note core,events.k8s.io: events
      create coordination.k8s.io: leases
      get,list,update,watch coordination.k8s.io: leases kube-controller-manager
      create core: secrets,serviceaccounts
      delete core: secrets
      get core: configmaps,namespaces,secrets,serviceaccounts
      update core: secrets,serviceaccounts
      create authentication.k8s.io: tokenreviews
      create authorization.k8s.io: subjectaccessreviews
      list,watch *: *
      create core: serviceaccounts/token
    role kube-system/extension-apiserver-authentication-reader
      get,list,watch core: configmaps extension-apiserver-authentication
    role kube-system/system::leader-locking-kube-controller-manager
      watch core: configmaps
      get,update core: configmaps kube-controller-manager
    role kube-system/system::leader-locking-kube-scheduler
      watch core: configmaps
      get,update core: configmaps kube-scheduler
    role kube-system/system:controller:bootstrap-signer
      read core: secrets
    role kube-system/system:controller:token-cleaner
      delete,get,list,watch core: secrets
      note core,events.k8s.io: events
    role kube-system/system:controller:cloud-provider
      create,get,list,watch core: configmaps
    role kube-public/system:controller:bootstrap-signer
      read core: configmaps
      update core: configmaps cluster-info
      note core,events.k8s.io: events
    role kube-public/swiftlet:cluster-info
      get core: configmaps cluster-info
    bind kube-public/swiftlet:cluster-info +swiftlet:cluster-info group:system:bootstrappers user:system:anonymous
    bind cluster-admin cluster-admin group:system:masters
    bind system:monitoring system:monitoring group:system:monitoring
    bind system:discovery system:discovery group:system:authenticated
    bind system:public-info-viewer system:public-info-viewer group:system:authenticated group:system:unauthenticated
    bind system:basic-user system:basic-user group:system:authenticated
    bind system:node-proxier system:node-proxier user:system:kube-proxy
    bind system:kube-controller-manager system:kube-controller-manager user:system:kube-controller-manager
    bind system:kube-dns system:kube-dns account:kube-system/kube-dns
    bind system:kube-scheduler system:kube-scheduler user:system:kube-scheduler
    bind system:volume-scheduler system:volume-scheduler user:system:kube-scheduler
    bind system:node system:node
    bind system:service-account-issuer-discovery system:service-account-issuer-discovery group:system:serviceaccounts
    bind system:cluster-trust-bundle-discovery system:cluster-trust-bundle-discovery group:system:serviceaccounts
    # Machines that join with a bootstrap token ask for a certificate, and renew it later under their own name.
    bind swiftlet:node-bootstrapper system:node-bootstrapper group:system:bootstrappers
    bind swiftlet:node-autoapprove system:certificates.k8s.io:certificatesigningrequests:nodeclient group:system:bootstrappers
    # A node follows services as itself: with its certificate that right ends as well.
    bind swiftlet:node-services system:node-proxier group:system:nodes
    # It enforces policies, which name pods of other nodes by their labels. Who uses no policies may empty this binding.
    bind swiftlet:network-policies swiftlet:network-policies user:system:kube-proxy group:system:nodes
    bind swiftlet:node-autorenew system:certificates.k8s.io:certificatesigningrequests:selfnodeclient group:system:nodes
    bind kube-system/system::extension-apiserver-authentication-reader +extension-apiserver-authentication-reader user:system:kube-controller-manager user:system:kube-scheduler
    bind kube-system/system::leader-locking-kube-controller-manager +system::leader-locking-kube-controller-manager user:system:kube-controller-manager account:kube-system/kube-controller-manager
    bind kube-system/system::leader-locking-kube-scheduler +system::leader-locking-kube-scheduler user:system:kube-scheduler account:kube-system/kube-scheduler
    bind kube-system/system:controller:bootstrap-signer +system:controller:bootstrap-signer account:kube-system/bootstrap-signer
    bind kube-system/system:controller:token-cleaner +system:controller:token-cleaner account:kube-system/token-cleaner
    bind kube-system/system:controller:cloud-provider +system:controller:cloud-provider account:kube-system/cloud-provider
    bind kube-public/system:controller:bootstrap-signer +system:controller:bootstrap-signer account:kube-system/bootstrap-signer
    """
}
