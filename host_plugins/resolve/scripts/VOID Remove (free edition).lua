-- VOID Remove for hosts that run no Python, such as Resolve's free edition from 21.1 on. Run it on an open comp.
-- It renders the plate and the mattes, calls `void-bridge remove`, and adds Loaders. Where Python runs, use
-- `VOID Remove.py`, which does more.

local VOID_BRIDGE = "" -- set by `void-bridge install resolve`: the absolute command

local TITLE = "VOID Remove"
-- Options: written by `make docs`
local ROLES = { "remove", "affected", "keep" }
local OPTIONS = {
  { name = "handles", flag = "--handles", label = "handles", default = 0, low = 0, high = 10000 },
  { name = "prompt", flag = "--prompt", label = "Scene after removal", default = "" },
  { name = "engine", flag = "--engine", label = "engine", default = "auto", choices = { "auto", "propagate", "void" }, is_open = true },
  { name = "passes", flag = "--passes", label = "passes", default = "auto", choices = { "auto", "1", "2" } },
  { name = "fill", flag = "--fill", label = "fill", default = "model", choices = { "model", "hybrid" } },
  { name = "seed", flag = "--seed", label = "seed", default = 0, low = 0, high = 2147483647 },
  { name = "canvas", flag = "--canvas", label = "canvas", default = "672x384" },
  { name = "framing", flag = "--framing", label = "framing", default = "held", choices = { "held", "moving" } },
  { name = "steps", flag = "--steps", label = "steps", default = 30, low = 1, high = 1000 },
  { name = "precision", flag = "--precision", label = "precision", default = "auto", choices = { "auto", "float32", "bf16", "fp8-stored", "fp8" } },
  { name = "model_fps", flag = "--model-fps", label = "model frame rate", default = "native", choices = { "native", "12" } },
  { name = "dilate", flag = "--dilate", label = "dilate", default = 0, low = 0, high = 1000 },
  { name = "feather", flag = "--feather", label = "feather", default = 4, low = 0, high = 1000 },
  { name = "grain", flag = "--grain", label = "grain", default = true },
  { name = "confidence", flag = "--confidence", label = "confidence", default = false },
  { name = "full_fill", flag = "--full-fill", label = "unmasked fill", default = false },
  { name = "exposure", flag = "--exposure", label = "exposure", default = "auto" },
}
-- End of options
local JOB_ACTIONS = { "Wait for the result", "Check again later", "Stop the run that is waiting", "Cancel the job" }
local NONE = "(none)"
local WINDOWS = package.config:sub(1, 1) == "\\"
local QUIET = 524288 -- no dialog at the end of a render
local RANGE_INPUTS = { "GlobalIn", "GlobalOut", "ClipTimeStart", "ClipTimeEnd" }
local OTHER_INPUTS = { "HoldFirstFrame", "HoldLastFrame", "Reverse", "Depth", "KeyCode", "TimeCodeOffset" }
-- Data of the composition and its tools; that of the Loaders is shared with the Python script.
local FOLDER, STAGE, STOP = "void_bridge_lua.folder", "void_bridge_lua.stage", "void_bridge_lua.stop"
local NAME, PLATE = "void_bridge_lua.name", "void_bridge_lua.plate"
local FIRST, LAST = "void_bridge_lua.first", "void_bridge_lua.last"
local TEMPORARY, DISABLED = "void_bridge.temporary", "void_bridge.rested"
local SHOT, KIND, LOADER_FIRST = "void_bridge.shot", "void_bridge.kind", "void_bridge.first"
local RENDER_YOURSELF =
  "Fusion rendered nothing for this script. Choose Fusion > Render All Savers, then run this script again."

local app = fu or fusion
local comp = comp or composition or (app and app:GetCurrentComp())

-- Dialogs -----------------------------------------------------------------------------------------------------------

local function show_message(text)
  print(TITLE .. ": " .. text)
  comp:AskUser(TITLE, { { "message", Name = TITLE, "Text", Default = text, ReadOnly = true, Lines = 4, Wrap = true } })
end

local function dropdown(name, label, options, default)
  return { name, Name = label, "Dropdown", Options = options, Default = default or 0 }
end

local function text(name, label, default)
  return { name, Name = label, "Text", Default = default or "", Lines = 1 }
end

local function position(list, wanted)
  for i, each in ipairs(list) do
    if each == wanted then return i - 1 end
  end
  return 0
end

-- The controls of a job's option: two where other names than those of the list can be given.
local function add_controls(list, option)
  local name, label, default = option.name, option.label, option.default
  if option.choices then
    list[#list + 1] = dropdown(name, label, option.choices, position(option.choices, default))
    if option.is_open then list[#list + 1] = text(name .. "_other", "another " .. label) end
  elseif type(default) == "boolean" then
    list[#list + 1] = { name, Name = label, "Checkbox", Default = default and 1 or 0 }
  elseif option.high and option.high <= 10000 then
    list[#list + 1] = { name, Name = label, "Screw", Default = default, Min = option.low, Max = option.high, Integer = true }
  else
    list[#list + 1] = text(name, label, tostring(default))
  end
end

-- The answer for an option as an argument of the command line; nil if it is the default.
local function argument_of(option, answer)
  local value = answer[option.name]
  if option.choices then
    local other = (answer[option.name .. "_other"] or ""):match("^%s*(.-)%s*$")
    value = other ~= "" and other or option.choices[value + 1]
  elseif type(option.default) == "boolean" then
    if (value == 1) == option.default then return nil end
    return value == 1 and "on" or "off"
  elseif type(value) == "number" then
    value = string.format("%d", value)
  end
  return value ~= tostring(option.default) and value or nil
end

-- Files -------------------------------------------------------------------------------------------------------------

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local found = file:read("*a")
  file:close()
  return found
end

local function write(path, found)
  local file = assert(io.open(path, "wb"), "cannot write " .. path .. "; choose another output folder")
  file:write(found)
  file:close()
end

-- Quotes an argument for the system's shell. Raises an error for characters that a batch file cannot hold.
local function quoted(argument)
  if not WINDOWS then return "'" .. argument:gsub("'", "'\\''") .. "'" end
  assert(not argument:find('["\r\n]'), argument .. ": quotes and line breaks cannot be passed on")
  return '"' .. argument:gsub("%%", "%%%%") .. '"'
end

local function run(command)
  local status = os.execute(command)
  return status == 0 or status == true
end

local function make_folder(path, parents)
  if WINDOWS then return run("mkdir " .. quoted(path:gsub("/", "\\")) .. " 2> NUL") end
  return run((parents and "mkdir -p " or "mkdir ") .. quoted(path) .. " 2> /dev/null")
end

local function frame_path(pattern, frame)
  return (pattern:gsub("####", string.format("%04d", frame)))
end

-- Makes a new numbered folder and returns its name.
local function new_version(folder, stem)
  make_folder(folder .. "/exports", true)
  for number = 1, 999 do
    local name = string.format("%s_v%03d", stem, number)
    if make_folder(folder .. "/" .. name) then return name end
    assert(read(folder .. "/" .. name .. "/run.txt"), "cannot write " .. folder .. "; choose another output folder")
  end
  error("found no free version of " .. stem .. " in " .. folder .. "; choose another output folder", 0)
end

-- Tools -------------------------------------------------------------------------------------------------------------

local function tools(kind)
  local found, list = kind and comp:GetToolList(false, kind) or comp:GetToolList(false), {}
  for _, tool in ipairs(found or {}) do list[#list + 1] = tool end
  return list
end

local function output_type(tool)
  local output = tool:FindMainOutput(1)
  return output and output:GetAttrs().OUTS_DataType or ""
end

local function is_mask(tool) return output_type(tool) == "Mask" or tool.ID:find("Mask$") ~= nil end
local function is_image(tool) return output_type(tool) == "Image" and not is_mask(tool) and tool.ID ~= "Saver" end

local function names(test)
  local list = {}
  for _, tool in ipairs(tools()) do
    if test(tool) then list[#list + 1] = tool.Name end
  end
  return list
end

-- Makes changes inside one undo step, with the composition locked against dialogs and renders.
local function undo_step(title, call)
  comp:Lock()
  comp:StartUndo(title)
  local ok, found = pcall(call)
  comp:EndUndo(true)
  comp:Unlock()
  if not ok then error(found, 0) end
  return found
end

local function clean_up()
  undo_step(TITLE .. ": clean up", function()
    for _, tool in ipairs(tools()) do
      if tool:GetData(TEMPORARY) then tool:Delete() end
    end
    for _, saver in ipairs(tools("Saver")) do
      if saver:GetData(DISABLED) then
        saver:SetAttrs({ TOOLB_PassThrough = false })
        saver:SetData(DISABLED, nil)
      end
    end
  end)
end

local function add_temporary(kind, row)
  local tool = comp:AddTool(kind, 0, 100 + row)
  tool:SetData(TEMPORARY, 1)
  return tool
end

local function add_saver(source, clip, size, row)
  if is_mask(source) then -- a mask makes no picture: it becomes the alpha of a white one
    local background = add_temporary("Background", row)
    for name, value in pairs({ UseFrameFormatSettings = 0, Width = size[1], Height = size[2], Depth = 4 }) do
      background:SetInput(name, value)
    end
    for _, colour in ipairs({ "Red", "Green", "Blue", "Alpha" }) do background:SetInput("TopLeft" .. colour, 1.0) end
    background:ConnectInput("EffectMask", source)
    source = background
  end
  local saver = add_temporary("Saver", row)
  saver:ConnectInput("Input", source)
  saver:SetInput("Clip", clip)
  saver:SetInput("OutputFormat", "OpenEXRFormat")
  saver:SetInput("OpenEXRFormat.Depth", size[3] and 2 or 1) -- float or half
  saver:SetInput("OpenEXRFormat.Compression", 3) -- ZIP
  saver:SetInput("ClippingMode", "None") -- keeps pixels outside the frame
end

-- The job -----------------------------------------------------------------------------------------------------------

local function ask_job()
  local plates, mattes, attrs = names(is_image), names(is_mask), comp:GetAttrs()
  for _, name in ipairs(plates) do mattes[#mattes + 1] = name end
  table.insert(mattes, 1, NONE)
  if #plates == 0 then show_message("no plate: the composition has no tool that outputs an image") return nil end
  local active = comp.ActiveTool and comp.ActiveTool.Name
  local saved = (attrs.COMPS_FileName or ""):gsub("\\", "/"):match("^(.*)/")
  local controls = {
    dropdown("plate", "plate", plates, position(plates, active)),
    dropdown("remove", "remove", mattes, #mattes > 1 and 1 or 0),
    dropdown("affected", "affected", mattes),
    dropdown("keep", "keep", mattes),
    text("colorspace", "colour space (required, such as ACEScg)", comp:GetData("void_bridge_lua.space")),
    text("first", "first frame", tostring(math.floor(attrs.COMPN_RenderStart))),
    text("last", "last frame", tostring(math.floor(attrs.COMPN_RenderEnd))),
    { "folder", Name = "output folder", "PathBrowse", Default = saved and saved .. "/void" or "" },
    { "float", Name = "write the plate as 32-bit float", "Checkbox", Default = 0 },
    { "wait", Name = "wait for the result", "Checkbox", Default = 1 },
  }
  for _, option in ipairs(OPTIONS) do add_controls(controls, option) end
  local answer = comp:AskUser(TITLE, controls)
  if not answer then return nil end
  local job = { plate = plates[answer.plate + 1], mattes = {}, wait = answer.wait == 1, words = {} }
  for _, option in ipairs(OPTIONS) do job.words[option.name] = argument_of(option, answer) end
  for _, role in ipairs(ROLES) do
    local name = mattes[answer[role] + 1]
    if name ~= NONE then job.mattes[role] = name end
  end
  job.space = answer.colorspace:match("^%s*(.-)%s*$")
  job.first, job.last = tonumber(answer.first), tonumber(answer.last)
  job.folder = comp:MapPath(answer.folder):gsub("\\", "/"):gsub("/$", "")
  job.is_float = answer.float == 1
  return job
end

local function input_error(job)
  if not (job.mattes.remove or job.mattes.affected) then
    return "nothing to remove: choose a mask for 'remove' (or 'affected')"
  end
  if job.space == "" then return "the plate's colour space is unknown; set 'colour space'" end
  if not (job.first and job.last and job.first <= job.last) then
    return "cannot read the frame range; write two numbers"
  end
  if job.folder == "" then return "set an output folder, or save the composition first" end
  for role, name in pairs(job.mattes) do
    if name == job.plate then return name .. " is the plate; choose another tool for '" .. role .. "'" end
  end
  return nil
end

-- Prints how a canvas in the old order, HEIGHTxWIDTH, is read.
local function print_canvas_note(canvas)
  local height, width = (canvas or ""):match("^%s*(%d+)x(%d+)h?%s*$")
  if height and tonumber(height) < tonumber(width) then
    print(TITLE .. ": canvas: read " .. canvas .. " in the old order, height x width; write " .. width .. "x" .. height)
  end
end

-- Returns the patterns of the sequences to render by role.
local function export_patterns(exports, job)
  local found = { plate = exports .. "/plate.####.exr" }
  for role in pairs(job.mattes) do found[role] = exports .. "/" .. role .. ".####.exr" end
  return found
end

-- Returns how many files of the sequences exist and how many are missing.
local function count_frames(found, first, last)
  local written, missing = 0, 0
  for _, pattern in pairs(found) do
    for frame = first, last do
      local file = io.open(frame_path(pattern, frame), "rb")
      if file and file:seek("end") > 0 then written = written + 1 else missing = missing + 1 end
      if file then file:close() end
    end
  end
  return written, missing
end

local function export(job, exports)
  local plate = comp:FindTool(job.plate)
  local image = plate:FindMainOutput(1):GetValue(job.first)
  assert(image, job.plate .. " outputs no image at frame " .. job.first .. "; check what is connected to it")
  local size = { image.OriginalWidth, image.OriginalHeight, false }
  undo_step(TITLE .. ": export", function()
    for _, saver in ipairs(tools("Saver")) do
      if not saver.Name:find("^MediaOut") and not saver:GetAttrs().TOOLB_PassThrough then
        saver:SetAttrs({ TOOLB_PassThrough = true })
        saver:SetData(DISABLED, 1)
      end
    end
    local row = 0
    for role, pattern in pairs(export_patterns(exports, job)) do
      local source = comp:FindTool(job.mattes[role] or job.plate)
      add_saver(source, frame_path(pattern, 0), { size[1], size[2], role == "plate" and job.is_float }, row)
      row = row + 1
    end
    comp:Render({ Start = job.first, End = job.last, Wait = true, RenderFlags = QUIET })
  end)
end

-- Returns the commands of a job for the system's shell: remove, then fetch for the paste matte as a sequence.
local function shell_script(job, folder, name, found)
  local version = folder .. "/" .. name
  local output, paste = version .. "/" .. name .. ".####.exr", version .. "/paste/" .. name .. "_paste.####.exr"
  local words = { quoted(VOID_BRIDGE), "remove", quoted(found.plate), "-o", quoted(output) }
  local function add(option, value) words[#words + 1] = option .. " " .. quoted(value) end
  for _, role in ipairs(ROLES) do
    if found[role] then add("--" .. role, found[role] .. ":A") end
  end
  add("--frames", job.first .. "-" .. job.last)
  add("--colorspace", job.space)
  for _, option in ipairs(OPTIONS) do
    local word = job.words[option.name]
    if word and option.default == false then
      words[#words + 1] = option.flag
    elseif word then
      add(option.flag, word)
    end
  end
  local log = quoted(version .. "/log.txt")
  local remove = table.concat(words, " ") .. " --json > " .. quoted(version .. "/outcome.txt")
  remove = remove .. " 2> " .. log
  local fetch = quoted(VOID_BRIDGE) .. " fetch " .. quoted(version .. "/job.json")
  fetch = fetch .. " --paste-sequence " .. quoted(paste) .. " --json > " .. quoted(version .. "/paste.txt")
  fetch = fetch .. " 2>> " .. log
  local ended = quoted(version .. "/ended.txt")
  if WINDOWS then
    local clean = "@set PYTHONHOME=\r\n@set PYTHONPATH=\r\n"
    return clean .. "@call " .. remove .. " && call " .. fetch .. "\r\n@echo ended > " .. ended .. "\r\n"
  end
  return "unset PYTHONHOME PYTHONPATH\n" .. remove .. " && " .. fetch .. "\necho ended > " .. ended .. "\n"
end

local function start_commands(folder, name)
  local file = folder .. "/" .. name .. "/run.txt"
  comp:SetData(STAGE, "job")
  if WINDOWS then
    local batch = folder .. "/" .. name .. "/run.bat"
    write(batch, read(file))
    return run('start "" /B cmd /C ' .. quoted(batch:gsub("/", "\\")))
  end
  return run("sh " .. quoted(file) .. " < /dev/null > /dev/null 2>&1 &")
end

-- The result --------------------------------------------------------------------------------------------------------

local function token_of(plate)
  local token = plate:GetData(SHOT)
  if type(token) ~= "string" then
    token = string.format("s%x%x", os.time(), math.random(16 ^ 6))
    plate:SetData(SHOT, token)
  end
  return token
end

local function clip_length(loader)
  return (loader:GetAttrs().TOOLIT_Clip_Length or {})[1] or 0
end

local function set_ends(loader, first, last)
  if first < loader:GetInput("GlobalIn") then
    loader:SetInput("GlobalIn", first)
    loader:SetInput("GlobalOut", last)
  else -- neither end can pass the other
    loader:SetInput("GlobalOut", last)
    loader:SetInput("GlobalIn", first)
  end
end

local function place_loader(token, plate, kind, pattern, first, last)
  local loader
  for _, tool in ipairs(tools("Loader")) do
    if tool:GetData(SHOT) == token and tool:GetData(KIND) == kind then loader = tool end
  end
  local inputs = {}
  if loader then
    for _, name in ipairs(OTHER_INPUTS) do inputs[name] = loader:GetInput(name) end
    for _, name in ipairs(RANGE_INPUTS) do inputs[name] = loader:GetInput(name) end
    if loader:GetData(LOADER_FIRST) ~= first or clip_length(loader) ~= last - first + 1 then inputs.GlobalIn = nil end
  else
    local flow, x, y = comp.CurrentFrame and comp.CurrentFrame.FlowView, 0, 0
    if flow and plate then
      local at = flow:GetPosTable(plate)
      x, y = at[1], at[2]
    end
    loader = comp:AddTool("Loader", x + 1, y + (kind == "paste" and 2 or 1))
    local name = "VOID_" .. (plate and plate.Name or "result") .. (kind == "paste" and "_paste" or "")
    loader:SetAttrs({ TOOLB_NameSet = true, TOOLS_Name = name })
    loader:SetData(SHOT, token)
    loader:SetData(KIND, kind)
  end
  loader:SetInput("Clip", frame_path(pattern, first))
  if inputs.GlobalIn then
    set_ends(loader, inputs.GlobalIn, inputs.GlobalOut)
    loader:SetInput("ClipTimeStart", inputs.ClipTimeStart)
    loader:SetInput("ClipTimeEnd", inputs.ClipTimeEnd)
  else
    set_ends(loader, first, last)
    loader:SetInput("ClipTimeStart", 0)
    loader:SetInput("ClipTimeEnd", last - first)
    loader:SetInput("HoldFirstFrame", 0)
  end
  for _, name in ipairs(OTHER_INPUTS) do
    if inputs[name] ~= nil then loader:SetInput(name, inputs[name]) end
  end
  loader:SetData(LOADER_FIRST, first)
end

local function clear_data()
  for _, name in ipairs({ FOLDER, STAGE, STOP, NAME, FIRST, LAST, PLATE }) do comp:SetData(name, nil) end
end

local function finish(folder, name)
  local version = folder .. "/" .. name
  local outcome, paste = read(version .. "/outcome.txt") or "", read(version .. "/paste.txt") or ""
  local first, last, plate = comp:GetData(FIRST), comp:GetData(LAST), comp:FindTool(comp:GetData(PLATE) or "")
  clear_data()
  if not outcome:find('"state": "done"', 1, true) then
    local message = outcome:match('"message": "(.-)"[,}]')
    if outcome:find('"state": "cancelled"', 1, true) then message = "the job was cancelled" end
    return show_message(message or ("void-bridge ended without an answer; see " .. version .. "/log.txt"))
  end
  local token = plate and token_of(plate) or name
  undo_step(TITLE .. ": result", function()
    place_loader(token, plate, "result", version .. "/" .. name .. ".####.exr", first, last)
    if paste:find('"state": "done"', 1, true) then
      place_loader(token, plate, "paste", version .. "/paste/" .. name .. "_paste.####.exr", first, last)
    end
  end)
  print(TITLE .. ": the result is in " .. version)
end

local function wait_for(folder, name)
  local ended = folder .. "/" .. name .. "/ended.txt"
  comp:SetData(STOP, nil)
  print(TITLE .. ": waiting for the job; to stop waiting, run this script again. Log: " .. folder .. "/" .. name .. "/log.txt")
  while not read(ended) do
    if comp:GetData(STOP) then
      comp:SetData(STOP, nil)
      return print(TITLE .. ": stopped waiting; the job continues")
    end
    bmd.wait(1)
  end
  finish(folder, name)
end

local function start_job(folder, name, wait)
  clean_up()
  start_commands(folder, name)
  if wait then return wait_for(folder, name) end
  print(TITLE .. ": the job is running. Run this script again for its result.")
end

-- Main --------------------------------------------------------------------------------------------------------------

local function submit()
  local job = ask_job()
  if not job then return end
  local problem = input_error(job)
  if problem then return show_message(problem) end
  print_canvas_note(job.words.canvas)
  local stem = ((comp:GetAttrs().COMPS_Name or "comp"):gsub("%.comp$", "") .. "_" .. job.plate):gsub("[^%w_.-]+", "_")
  local name = new_version(job.folder, stem)
  local exports = job.folder .. "/exports/" .. name
  make_folder(exports, true)
  local found = export_patterns(exports, job)
  write(job.folder .. "/" .. name .. "/run.txt", shell_script(job, job.folder, name, found))
  comp:SetData("void_bridge_lua.space", job.space)
  local data = { [FOLDER] = job.folder, [NAME] = name, [PLATE] = job.plate }
  data[FIRST], data[LAST] = job.first, job.last
  for key, value in pairs(data) do comp:SetData(key, value) end
  comp:SetData(STAGE, "render")
  local ok, message = pcall(export, job, exports)
  local written, missing = count_frames(found, job.first, job.last)
  if not ok or (written > 0 and missing > 0) then
    clean_up()
    clear_data()
    local reason = ok and "it stopped before the end" or tostring(message)
    return show_message("Fusion could not render the plate or the mattes: " .. reason)
  end
  if missing > 0 then return show_message(RENDER_YOURSELF) end
  start_job(job.folder, name, job.wait)
end

local function check_frames(folder, name)
  local found, commands = {}, read(folder .. "/" .. name .. "/run.txt") or ""
  for _, role in ipairs({ "plate", unpack(ROLES) }) do
    local pattern = folder .. "/exports/" .. name .. "/" .. role .. ".####.exr"
    if commands:find(pattern, 1, true) then found[role] = pattern end
  end
  local _, missing = count_frames(found, comp:GetData(FIRST), comp:GetData(LAST))
  if missing == 0 and not comp:IsRendering() then return start_job(folder, name, true) end
  local answer = comp:AskUser(TITLE, {
    text("message", missing .. " frames are missing", "Choose Fusion > Render All Savers to render them"),
    dropdown("action", "do", { "Check again later", "Cancel the submission" }),
  })
  if answer and answer.action == 1 then
    clean_up()
    clear_data()
  end
end

local function check_job(folder, name)
  if read(folder .. "/" .. name .. "/ended.txt") then return finish(folder, name) end
  local log = (read(folder .. "/" .. name .. "/log.txt") or ""):match("([^\r\n]*)[\r\n]*$")
  local answer = comp:AskUser(TITLE, {
    text("message", "the job is running", log),
    dropdown("action", "do", JOB_ACTIONS),
  })
  if not answer then return end
  if answer.action == 0 then return wait_for(folder, name) end
  if answer.action == 2 then return comp:SetData(STOP, 1) end
  if answer.action == 3 then
    local command = quoted(VOID_BRIDGE) .. " cancel " .. quoted(folder .. "/" .. name .. "/job.json")
    run(WINDOWS and '"' .. command .. '"' or "unset PYTHONHOME PYTHONPATH; " .. command)
  end
end

local function main()
  if VOID_BRIDGE == "" then return print(TITLE .. ": is not installed; run void-bridge install resolve") end
  if not comp then return print(TITLE .. ": no composition is open") end
  local folder, name = comp:GetData(FOLDER), comp:GetData(NAME)
  local stages = { render = check_frames, job = check_job }
  local ok, message = pcall(stages[comp:GetData(STAGE)] or submit, folder, name)
  if not ok then
    clean_up()
    show_message((tostring(message):gsub("^.-:%d+: ", "")))
  end
end

main()
