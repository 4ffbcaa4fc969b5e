import Testing

@testable import ContainerRuntime

@Suite struct ProcessMemoryTests {
  /// The form of /proc/PID/smaps_rollup.
  @Test func sharesOfPagesAreSummed() {
    let text = """
      55d0c4a00000-7ffd9d5f1000 ---p 00000000 00:00 0                          [rollup]
      Rss:                1932 kB
      Pss:                 530 kB
      Pss_Dirty:           120 kB
      Pss_Anon:            112 kB
      Pss_File:            410 kB
      Pss_Shmem:             8 kB
      Anonymous:           112 kB
      """
    var memory = ProcessMemory()
    memory.add(text)
    memory.add(text)
    #expect(memory == ProcessMemory(total: 2 * 530 * 1024, anonymous: 2 * 120 * 1024, processes: 0))
    memory.add("")
    #expect(memory.total == 2 * 530 * 1024)
  }
}
