import Glibc

/// What kind of file a `stat` is about (inode(7)).
enum FileType: mode_t {
  case fifo = 0o010000, characterDevice = 0o020000, directory = 0o040000, blockDevice = 0o060000
  case regular = 0o100000, symbolicLink = 0o120000, socket = 0o140000

  init?(_ info: stat) { self.init(rawValue: info.st_mode & 0o170000) }
}
