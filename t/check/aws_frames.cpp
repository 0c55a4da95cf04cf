// Messages of an AWS event stream: length, length of the headers, check sum of both, headers,
// payload, check sum of all, big endian. See the header.
#include "t/check/aws_frames.hpp"

#include <zlib.h>

#include <cstdint>

namespace llm::check {

namespace {

void append_number(std::string &out, size_t value, int size) {
    for (int i = size - 1; i >= 0; --i) {
        out.push_back(static_cast<char>(value >> (8 * i) & 0xff));
    }
}

void append_sum(std::string &out) {
    append_number(
        out, crc32(0, reinterpret_cast<const Bytef *>(out.data()), static_cast<uInt>(out.size())),
        4);
}

}  // namespace

std::string aws_header(std::string_view name, std::string_view value) {
    std::string out;
    append_number(out, name.size(), 1);
    out.append(name).push_back(7);
    append_number(out, value.size(), 2);
    return out.append(value);
}

std::string aws_message(std::string_view headers, std::string_view payload) {
    std::string out;
    append_number(out, 16 + headers.size() + payload.size(), 4);
    append_number(out, headers.size(), 4);
    append_sum(out);
    out.append(headers).append(payload);
    append_sum(out);
    return out;
}

std::string aws_message(const AwsHeaders &headers, std::string_view payload) {
    std::string all;
    for (auto [name, value] : headers) {
        all += aws_header(name, value);
    }
    return aws_message(all, payload);
}

std::string aws_event(std::string_view name, std::string_view payload) {
    return aws_message(AwsHeaders{{":event-type", name},
                                  {":content-type", "application/json"},
                                  {":message-type", "event"}},
                       payload);
}

std::string aws_exception(std::string_view name, std::string_view payload) {
    return aws_message(AwsHeaders{{":exception-type", name},
                                  {":content-type", "application/json"},
                                  {":message-type", "exception"}},
                       payload);
}

std::vector<size_t> aws_frame_ends(std::string_view stream) {
    std::vector<size_t> ends;
    size_t at = 0;
    while (stream.size() - at >= 16) {
        size_t size = 0;
        for (size_t i = 0; i < 4; ++i) {
            size = size << 8 | static_cast<unsigned char>(stream[at + i]);
        }
        if (size < 16 || size > stream.size() - at) {
            break;
        }
        at += size;
        ends.push_back(at);
    }
    return ends;
}

}  // namespace llm::check
