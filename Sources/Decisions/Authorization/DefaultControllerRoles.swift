extension DefaultRoles {
  /// What each controller needs; every role is bound to the account of its name in kube-system.
  static let controllerTexts = """
    role system:controller:attachdetach-controller
      list,watch core: persistentvolumes,persistentvolumeclaims
      read core: nodes
      patch,update core: nodes/status
      list,watch core: pods
      note core,events.k8s.io: events
      create,delete,get,list,watch storage.k8s.io: volumeattachments
      read storage.k8s.io: csidrivers,csinodes
    role system:controller:clusterrole-aggregation-controller
      escalate,get,list,patch,update,watch rbac.authorization.k8s.io: clusterroles
    role system:controller:cronjob-controller
      get,list,update,watch batch: cronjobs
      create,delete,get,list,patch,update,watch batch: jobs
      patch,update batch: cronjobs/status
      update batch: cronjobs/finalizers
      delete,list core: pods
      note core,events.k8s.io: events
    role system:controller:daemon-set-controller
      get,list,watch apps: daemonsets
      update apps: daemonsets/status,daemonsets/finalizers
      list,watch core: nodes
      create,delete,list,patch,watch core: pods
      create core: pods/binding
      create,delete,get,list,patch,update,watch apps: controllerrevisions
      note core,events.k8s.io: events
    role system:controller:deployment-controller
      get,list,update,watch apps: deployments
      update apps: deployments/status,deployments/finalizers
      create,delete,get,list,patch,update,watch apps: replicasets
      get,list,update,watch core: pods
      note core,events.k8s.io: events
    role system:controller:disruption-controller
      read apps: deployments,replicasets,statefulsets
      read core: replicationcontrollers
      read policy: poddisruptionbudgets
      update policy: poddisruptionbudgets/status
      patch,update core: pods/status
      get *: */scale
      note core,events.k8s.io: events
    role system:controller:endpoint-controller
      read core: services,pods
      create,delete,get,list,update,watch core: endpoints
      create core: endpoints/restricted
      note core,events.k8s.io: events
    role system:controller:endpointslice-controller
      read core: services,pods,nodes
      update core: services/finalizers
      create,delete,get,list,update,watch discovery.k8s.io: endpointslices
      create discovery.k8s.io: endpointslices/restricted
      note core,events.k8s.io: events
    role system:controller:endpointslicemirroring-controller
      read core: services,endpoints
      update core: endpoints/finalizers,services/finalizers
      create,delete,get,list,update,watch discovery.k8s.io: endpointslices
      create discovery.k8s.io: endpointslices/restricted
      note core,events.k8s.io: events
    role system:controller:ephemeral-volume-controller
      read core: pods
      update core: pods/finalizers
      create,get,list,watch core: persistentvolumeclaims
      note core,events.k8s.io: events
    role system:controller:expand-controller
      get,list,patch,update,watch core: persistentvolumes
      patch,update core: persistentvolumeclaims/status
      read core: persistentvolumeclaims
      read storage.k8s.io: storageclasses
      get core: services,endpoints,secrets
      note core,events.k8s.io: events
    role system:controller:generic-garbage-collector
      delete,get,list,patch,update,watch *: *
      note core,events.k8s.io: events
    role system:controller:horizontal-pod-autoscaler
      read autoscaling: horizontalpodautoscalers
      update autoscaling: horizontalpodautoscalers/status
      get,update *: */scale
      list core: pods
      list metrics.k8s.io: pods
      get,list custom.metrics.k8s.io,external.metrics.k8s.io: *
      note core,events.k8s.io: events
    role system:controller:job-controller
      get,list,patch,update,watch batch: jobs
      update batch: jobs/status,jobs/finalizers
      create,delete,list,patch,watch core: pods
      note core,events.k8s.io: events
    role system:controller:namespace-controller
      delete,get,list,watch core: namespaces
      update core: namespaces/finalize,namespaces/status
      delete,deletecollection,get,list *: *
    role system:controller:node-controller
      delete,get,list,patch,update,watch core: nodes
      patch,update core: nodes/status
      patch,update core: pods/status
      delete,list core: pods
      note core,events.k8s.io: events
    role system:controller:persistent-volume-binder
      create,delete,get,list,update,watch core: persistentvolumes
      update core: persistentvolumes/status
      get,list,update,watch core: persistentvolumeclaims
      update core: persistentvolumeclaims/status
      create,delete,get,list,watch core: pods
      read storage.k8s.io: storageclasses
      create,delete,get core: services,endpoints
      get,list core: secrets
      get,list,watch core: nodes
      watch core: events
      note core,events.k8s.io: events
    role system:controller:pod-garbage-collector
      delete,list,watch core: pods
      get,list core: nodes
      patch core: pods/status
    role system:controller:pv-protection-controller
      get,list,update,watch core: persistentvolumes
      note core,events.k8s.io: events
    role system:controller:pvc-protection-controller
      get,list,update,watch core: persistentvolumeclaims
      read core: pods
      note core,events.k8s.io: events
    role system:controller:replicaset-controller
      get,list,update,watch apps: replicasets
      update apps: replicasets/status,replicasets/finalizers
      create,delete,list,patch,watch core: pods
      note core,events.k8s.io: events
    role system:controller:replication-controller
      get,list,update,watch core: replicationcontrollers
      update core: replicationcontrollers/status,replicationcontrollers/finalizers
      create,delete,list,patch,watch core: pods
      note core,events.k8s.io: events
    role system:controller:resource-claim-controller
      read core: pods
      update core: pods/finalizers
      create,delete,get,list,watch resource.k8s.io: resourceclaims
      patch,update resource.k8s.io: resourceclaims,resourceclaims/status
      patch,update core: pods/status
      read resource.k8s.io: resourceclaimtemplates
      note core,events.k8s.io: events
    role system:controller:resourcequota-controller
      list,watch *: *
      update core: resourcequotas/status
      note core,events.k8s.io: events
    role system:controller:root-ca-cert-publisher
      create,update core: configmaps
      note core,events.k8s.io: events
    role system:controller:route-controller
      list,watch core: nodes
      patch core: nodes/status
      note core,events.k8s.io: events
    role system:controller:service-account-controller
      create core: serviceaccounts
      note core,events.k8s.io: events
    role system:controller:service-controller
      get,list,watch core: services
      patch,update core: services/status
      list,watch core: nodes
      note core,events.k8s.io: events
    role system:controller:statefulset-controller
      list,watch core: pods
      read apps: statefulsets
      update apps: statefulsets/status,statefulsets/finalizers
      create,delete,get,patch,update core: pods
      create,delete,get,list,patch,update,watch apps: controllerrevisions
      create,get core: persistentvolumeclaims
      delete,update core: persistentvolumeclaims
      list,watch core: persistentvolumeclaims
      note core,events.k8s.io: events
    role system:controller:ttl-after-finished-controller
      delete,get,list,watch batch: jobs
      note core,events.k8s.io: events
    role system:controller:ttl-controller
      list,patch,update,watch core: nodes
      note core,events.k8s.io: events
    role system:controller:certificate-controller
      delete,get,list,watch certificates.k8s.io: certificatesigningrequests
      update certificates.k8s.io: certificatesigningrequests/status,certificatesigningrequests/approval
      approve certificates.k8s.io: signers kubernetes.io/kube-apiserver-client-kubelet
      sign certificates.k8s.io: signers kubernetes.io/legacy-unknown,kubernetes.io/kubelet-serving,kubernetes.io/kube-apiserver-client-kubelet,kubernetes.io/kube-apiserver-client
      create authorization.k8s.io: subjectaccessreviews
      note core,events.k8s.io: events
    role system:controller:legacy-service-account-token-cleaner
      get core: configmaps kube-apiserver-legacy-service-account-token-tracking
      delete,patch core: secrets
    role system:controller:validatingadmissionpolicy-status-controller
      read admissionregistration.k8s.io: validatingadmissionpolicies
      get,patch,update admissionregistration.k8s.io: validatingadmissionpolicies/status
      note core,events.k8s.io: events
    role system:controller:service-cidrs-controller
      get,list,patch,update,watch networking.k8s.io: servicecidrs
      patch,update networking.k8s.io: servicecidrs/finalizers,servicecidrs/status
      read networking.k8s.io: ipaddresses
      note core,events.k8s.io: events
    role system:controller:device-taint-eviction-controller
      read core: pods
      delete core: pods
      patch,update core: pods/status
      read resource.k8s.io: resourceclaims,resourceslices,deviceclasses
      note core,events.k8s.io: events
    """
}
