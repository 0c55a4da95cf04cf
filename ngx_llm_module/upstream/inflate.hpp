// Takes gzip or deflate off a provider's body. We ask for no compression, but not every provider
// listens.
#pragma once

#include <zlib.h>

#include <string_view>

#include "translators/core/result.hpp"
#include "translators/json/reader.hpp"

namespace llm {

class Inflate {
  public:
    Inflate() { is_ready_ = inflateInit2(&z_, MAX_WBITS + 32) == Z_OK; }
    ~Inflate() {
        if (is_ready_) {
            inflateEnd(&z_);
        }
    }
    Inflate(const Inflate &) = delete;
    Inflate &operator=(const Inflate &) = delete;

    void feed(std::string_view bytes) {
        z_.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(bytes.data()));
        z_.avail_in = uInt(bytes.size());
    }

    // The next decompressed piece, empty when more input is needed. Valid until the next call.
    Result<std::string_view> next() {
        for (;;) {
            if (is_done_ && !begins_member(z_)) {
                return std::string_view();
            }
            z_.next_out = reinterpret_cast<Bytef *>(piece_);
            z_.avail_out = kPiece;
            int rc = is_ready_ ? inflate(&z_, Z_SYNC_FLUSH) : Z_MEM_ERROR;
            if (rc != Z_OK && rc != Z_STREAM_END && rc != Z_BUF_ERROR) {
                return Error{
                    Errc::upstream_protocol, "the provider's compression is damaged", {}, 0};
            }
            is_done_ = rc == Z_STREAM_END;
            size_t size = kPiece - z_.avail_out;
            if (size > 0 || !is_done_) {
                return std::string_view(piece_, size);
            }
        }
    }

    // Gzip may be of several members, one behind the other (RFC 1952): at the end of one, does
    // another one follow? Then `z` is ready for it.
    static bool begins_member(z_stream &z) {
        constexpr Bytef kMagic = 0x1f;
        return z.avail_in > 0 && *z.next_in == kMagic && inflateReset(&z) == Z_OK;
    }

  private:
    static constexpr uInt kPiece = 16 * 1024;
    z_stream z_ = {};
    bool is_ready_ = false;
    bool is_done_ = false;
    char piece_[kPiece + json::kPadding] = {};
};

}  // namespace llm
