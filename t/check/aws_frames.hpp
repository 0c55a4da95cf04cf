// Messages of an AWS event stream as a service sends them.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace llm::check {

// Headers whose values are strings, in this order.
using AwsHeaders = std::vector<std::pair<std::string_view, std::string_view>>;

// One string header in its wire form.
std::string aws_header(std::string_view name, std::string_view value);
// A message around headers that are in their wire form already; both check sums are right.
std::string aws_message(std::string_view headers, std::string_view payload);
std::string aws_message(const AwsHeaders &headers, std::string_view payload);
std::string aws_event(std::string_view name, std::string_view payload);
std::string aws_exception(std::string_view name, std::string_view payload);
// Offsets behind each message.
std::vector<size_t> aws_frame_ends(std::string_view stream);

}  // namespace llm::check
