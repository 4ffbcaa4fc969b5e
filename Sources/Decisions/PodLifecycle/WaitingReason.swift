/// The reasons of `state.waiting`, as upstream's clients and tests know them.
package enum WaitingReason {
  package static let containerCreating = "ContainerCreating"
  package static let podInitializing = "PodInitializing"
  package static let crashLoopBackOff = "CrashLoopBackOff"
  package static let errImagePull = "ErrImagePull"
  package static let imagePullBackOff = "ImagePullBackOff"
  package static let errImageNeverPull = "ErrImageNeverPull"
  package static let invalidImageName = "InvalidImageName"
  package static let imageInspectError = "ImageInspectError"
  package static let createContainerConfigError = "CreateContainerConfigError"
  package static let createContainerError = "CreateContainerError"
  package static let runContainerError = "RunContainerError"
  package static let postStartHookError = "PostStartHookError"
}
