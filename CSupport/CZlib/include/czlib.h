// zlib, whose inflateInit and deflateInit are macros that Swift cannot call.
#ifndef CZLIB_H
#define CZLIB_H
#include <zlib.h>
static inline int cz_inflate_init(z_stream *s) { return inflateInit(s); }
static inline int cz_inflate_init_gzip(z_stream *s) { return inflateInit2(s, 15 + 32); }
static inline int cz_deflate_init(z_stream *s, int level) { return deflateInit(s, level); }
static inline int cz_deflate_init_gzip(z_stream *s, int level) { return deflateInit2(s, level, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY); }
#endif
