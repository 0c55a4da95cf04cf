-- Takes records that are newer than what is here: keys, teams, users, customers and deletions.
--
-- KEYS  1  beginning of all names, with the hash tag
-- ARGV  1  a name for these records, should there be none yet: it tells when Redis was flushed
--       2  1: nothing is taken when a key would get an alias that another one has, or when a record has
--          changed since it was seen
--       then 4 for each record: its name, its version (microseconds), its JSON (empty: deleted), the
--       version that was seen before; without the 1: the version that was refused and taken back, or 0
-- Gives how many were taken; -1: an alias is another key's; a list: somebody else was faster, and the
-- names of what he changed with it as it is here now, version:JSON.

local base = KEYS[1]
local data, log, gone, aliases = base .. ':data', base .. ':log', base .. ':gone', base .. ':aliases'
local WEEK = 7 * 86400 * 1000000
local taken, newest = 0, 0

-- Version and JSON of a record as it is here.
local function stored(name)
    local version, json = string.match(redis.call('HGET', data, name) or '', '^(%d+):(.*)$')
    return tonumber(version) or 0, json or ''
end

-- Of a key, unless another one has taken its place.
local function alias_of(name, json)
    if string.sub(name, 1, 4) ~= 'key:' or not string.find(json, '"key_alias":', 1, true) then
        return nil
    end
    local is_read, record = pcall(cjson.decode, json)
    return is_read and not record.replaced_by and record.key_alias or nil
end

-- Who has an alias is only believed when its record says so, too: an older gateway may have changed
-- that without telling who has the alias.
if ARGV[2] == '1' then
    local changed = {}
    for i = 3, #ARGV, 4 do
        changed[ARGV[i]] = ARGV[i + 2]
    end
    for name, json in pairs(changed) do
        local _, before = stored(name)
        local alias = alias_of(name, json)
        local owner = alias and alias ~= alias_of(name, before) and redis.call('HGET', aliases, alias)
        if owner and owner ~= name then
            local _, now = stored(owner)
            if alias_of(owner, changed[owner] or now) == alias then
                return -1
            end
        end
    end
end

local function put(name, version, json)
    redis.call('HSET', data, name, version .. ':' .. json)
    redis.call('ZADD', log, redis.call('INCR', base .. ':count'), name)
    if json == '' then
        redis.call('ZADD', gone, version, name)
    else
        redis.call('ZREM', gone, name)
    end
end

-- What is here becomes newer than what the other machine had, and what it takes that back to.
if ARGV[2] == '1' then
    local newer = {}
    for i = 3, #ARGV, 4 do
        local before, json = stored(ARGV[i])
        if before > tonumber(ARGV[i + 3]) then
            put(ARGV[i], string.format('%.0f', math.max(before, tonumber(ARGV[i + 1])) + 2), json)
            table.insert(newer, ARGV[i])
            table.insert(newer, redis.call('HGET', data, ARGV[i]))
        end
    end
    if #newer > 0 then
        return newer
    end
end

redis.call('SET', base .. ':epoch', ARGV[1], 'NX')
for i = 3, #ARGV, 4 do
    local name, version, json = ARGV[i], ARGV[i + 1], ARGV[i + 2]
    local before, old = stored(name)
    local refused = ARGV[2] ~= '1' and tonumber(ARGV[i + 3]) or 0
    if refused > 0 and before > 0 and before ~= refused and before < tonumber(version) then
        -- Not what was refused: it holds, also where that was taken back.
        put(name, string.format('%.0f', tonumber(version) + 1), old)
    elseif tonumber(version) > before then
        put(name, version, json)
        local former, alias = alias_of(name, old), alias_of(name, json)
        if former and former ~= alias and redis.call('HGET', aliases, former) == name then
            redis.call('HDEL', aliases, former)
        end
        if alias then
            redis.call('HSET', aliases, alias, name)
        end
        taken = taken + 1
    end
    newest = math.max(newest, tonumber(version))
end

-- Deletions are remembered for a week: a machine that was away meanwhile still has the record.
local old = redis.call('ZRANGEBYSCORE', gone, '-inf', newest - WEEK, 'LIMIT', 0, 100)
for _, name in ipairs(old) do
    redis.call('HDEL', data, name)
    redis.call('ZREM', log, name)
    redis.call('ZREM', gone, name)
end
return taken
